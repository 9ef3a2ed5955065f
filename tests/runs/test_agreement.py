"""A whole run finds what the plain autograd loop finds, and says it about the right lines."""

import numpy as np
import pytest
from small_graph import LEARNING_RATE, NUM_ROWS, Graph, MakeJob, Truth, labels

from tracin_dask.influence.reductions.topk import Ranking
from tracin_dask.launch.run import run
from tracin_dask.models.checkpoints.checkpoint import Checkpoint

TOLERANCE = 1e-5
"""Of float32 sums, relative to the product of the gradients' norms."""


def assert_ranks(ranking: Ranking, values: np.ndarray, scale: np.ndarray, key) -> None:
    """Compare values by rank: lines whose true values are nearer than the tolerance may have changed places."""
    best_first = np.sort(key(values))[::-1][: len(ranking)]
    assert (np.abs(key(ranking.influence) - best_first) <= TOLERANCE * scale.max()).all()
    of_these_lines = np.abs(ranking.influence - values[ranking.train_index])
    assert (of_these_lines <= TOLERANCE * scale[ranking.train_index]).all()
    assert len(set(ranking.train_index.tolist())) == len(ranking)


@pytest.mark.parametrize(
    ("rank_by", "key"), [("absolute", np.abs), ("proponents", lambda v: v), ("opponents", lambda v: -v)]
)
def test_top_k_equals_that_of_the_oracle_over_all_lines(make_job: MakeJob, truth: Truth, rank_by, key):
    result = make_job(rank_by=rank_by, top_k=50).carry_out()
    assert len(result.rankings) == 3
    for test, ranking in enumerate(result.rankings):
        assert len(ranking) == 50
        assert_ranks(ranking, truth.influence[:, test], truth.scale[:, test], key)


def test_a_run_with_top_k_of_all_rows_gives_every_line_once(make_job: MakeJob, truth: Truth):
    result = make_job(top_k=NUM_ROWS + 10).carry_out()
    for test, ranking in enumerate(result.rankings):
        assert sorted(ranking.train_index.tolist()) == list(range(NUM_ROWS))
        assert_ranks(ranking, truth.influence[:, test], truth.scale[:, test], np.abs)


def test_proponents_and_opponents_are_cut_at_zero(make_job: MakeJob, truth: Truth):
    found = [make_job(rank_by=side, top_k=NUM_ROWS).carry_out() for side in ("proponents", "opponents")]
    is_clear = np.abs(truth.influence) > TOLERANCE * truth.scale
    for test in range(3):
        for result, sign in zip(found, (1, -1), strict=True):
            lines = result.rankings[test].train_index
            expected = np.flatnonzero((sign * truth.influence[:, test] > 0) & is_clear[:, test])
            assert set(expected.tolist()) <= set(lines.tolist())
            assert (sign * result.rankings[test].influence > 0).all()


def test_self_influence_is_the_squared_norm_of_each_gradient(make_job: MakeJob, truth: Truth):
    result = make_job(mode="self", top_k=40).carry_out()
    assert len(result.rankings) == 1
    assert_ranks(result.rankings[0], truth.self_influence, truth.self_influence, np.abs)


def test_influences_are_listed_by_size_the_largest_first(make_job: MakeJob):
    for ranking in make_job(top_k=NUM_ROWS).carry_out().rankings:
        sizes = np.abs(ranking.influence)
        assert (sizes[:-1] >= sizes[1:]).all()
        assert (ranking.influence < 0).any()
        assert (ranking.influence > 0).any()


def test_train_index_is_the_line_of_the_source_file(make_job: MakeJob, graph: Graph):
    lines = (graph.folder / "train.txt").read_text().splitlines()
    result = make_job().carry_out()
    for index, ranking in enumerate(result.rankings):
        assert (graph.lines[ranking.train_index] == ranking.triples).all()
        for entry in result.to_dict(index)["influences"]:
            said = [entry[f"train_{role}_label"] for role in ("head", "relation", "tail")]
            assert lines[entry["train_index"]] == "\t".join(said)


def test_equal_influences_of_duplicates_are_listed_by_their_lines(make_job: MakeJob):
    ranking = make_job(top_k=NUM_ROWS).carry_out().rankings[0]
    is_tie = ranking.influence[1:] == ranking.influence[:-1]
    assert is_tie.sum() > 100  # the text repeats 250 of its lines
    assert (np.diff(ranking.train_index)[is_tie] > 0).all()


def test_run_with_defaults_ranks_like_the_oracle(graph: Graph, checkpoint: Checkpoint, truth: Truth):
    result = run(graph.store, checkpoint, [labels(triple) for triple in graph.test_triples])
    assert result.top_k == 10
    assert result.learning_rate == LEARNING_RATE
    for test, ranking in enumerate(result.rankings):
        assert_ranks(ranking, truth.influence[:, test], truth.scale[:, test], np.abs)


def test_without_test_triples_a_run_is_about_self_influence(graph: Graph, checkpoint: Checkpoint, truth: Truth):
    result = run(graph.store, checkpoint)
    assert result.test_triples is None
    assert_ranks(result.rankings[0], truth.self_influence, truth.self_influence, np.abs)


def test_the_learning_rate_scales_the_influences(make_job: MakeJob):
    ours, twice = (make_job(learning_rate=rate).carry_out() for rate in (LEARNING_RATE, 2 * LEARNING_RATE))
    assert twice.learning_rate == 2 * LEARNING_RATE
    for one, two in zip(ours.rankings, twice.rankings, strict=True):
        np.testing.assert_allclose(two.influence, 2 * one.influence, rtol=1e-5)


@pytest.mark.parametrize("chosen", [{"parameters": ("fc.*",)}, {"last_layers": 2}], ids=["pattern", "last layers"])
def test_only_tracked_tensors_contribute_to_influences(make_job: MakeJob, chosen):
    result = make_job(**chosen).carry_out()
    assert result.run["parameters"] == ["fc.bias", "fc.weight"]
    everything = make_job().carry_out()
    assert result.rankings[0].influence.tolist() != everything.rankings[0].influence.tolist()


def test_a_user_defined_loss_is_differentiated(make_job: MakeJob):
    class Doubled:
        name = "doubled"

        def value(self, scores):
            return 2 * scores

    class Plain:
        name = "plain"

        def value(self, scores):
            return scores

    doubled, plain = (make_job(loss=loss()).carry_out() for loss in (Doubled, Plain))
    assert doubled.run["loss"] == "doubled"
    for two, one in zip(doubled.rankings, plain.rankings, strict=True):
        np.testing.assert_allclose(two.influence, 4 * one.influence, rtol=1e-6)
