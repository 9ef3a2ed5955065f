"""Scores, ranks and equal training triples of test triples against a plain loop over all entities, in float64."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import Client
from influence.any_model import TailsBilinear
from small_graph import (
    NUM_ENTITIES,
    NUM_RELATIONS,
    Graph,
    MakeJob,
    bits,
    save_checkpoint,
    small_model,
)
from torch import nn

from tracin_dask.errors import ConfigError
from tracin_dask.launch.run import run
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.ranking import candidates, pieces
from tracin_dask.report.predictions import Predictions
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.runs.predictions import choice, cost
from tracin_dask.triples.ingest import ingest
from tracin_dask.triples.store import TripleStore


class Distances(nn.Module):
    """TransE with heads and tails that count differently, without a method for all tails."""

    tables = {"entities": "entity", "relations": "relation"}  # noqa: RUF012 - as docs/other-models.md has it

    def __init__(self, num_entities: int, num_relations: int, dim: int = 4) -> None:
        super().__init__()
        self.entities = nn.Parameter(torch.randn(num_entities, dim))
        self.relations = nn.Parameter(torch.randn(num_relations, dim))

    def score(self, triples):
        head, relation, tail = triples.T
        return -(self.entities[head] + self.relations[relation] - 0.7 * self.entities[tail]).norm(dim=1)


class WrongTails(TailsBilinear):
    """Has a method for all tails that gives others than its scores."""

    scores_are_logits = True

    def score_tails(self, pairs):
        return super().score_tails(pairs).flip(1)


class RightTails(TailsBilinear):
    """Has a method for all tails."""

    scores_are_logits = True


def plain_rank(scores: Sequence[float], own: int, known: set[int]) -> float:
    """Rank among the entities that are not known: in the middle of those with an equal score."""
    others = [score for entity, score in enumerate(scores) if entity != own and entity not in known]
    higher, equal = (sum(test(score) for score in others) for test in (scores[own].__lt__, scores[own].__eq__))
    return 1 + higher + equal / 2


def plain_ranks(model, lines: np.ndarray, triples: np.ndarray, *, column: int) -> tuple[list[float], list[float]]:
    """Score each triple with every entity in its place, one after the other; gives raw and filtered ranks."""
    raw, filtered = [], []
    others = [place for place in range(3) if place != column]
    for triple in triples:
        every = torch.from_numpy(np.tile(triple, (NUM_ENTITIES, 1)))
        every[:, column] = torch.arange(NUM_ENTITIES)
        with torch.no_grad():
            scores = torch.stack([model.score(one[None])[0] for one in every]).tolist()
        known = {int(line[column]) for line in lines if (line[others] == triple[others]).all()}
        raw.append(plain_rank(scores, int(triple[column]), set()))
        filtered.append(plain_rank(scores, int(triple[column]), known))
    return raw, filtered


def assert_is_plain(found: Predictions, model, lines: np.ndarray, triples: np.ndarray, *, heads: bool) -> None:
    with torch.no_grad():
        np.testing.assert_allclose(found.score, model.score(torch.from_numpy(triples)).numpy(), rtol=1e-12)
    for ranks, column in ((found.tail_ranks, 2), (found.head_ranks, 0)):
        if column == 0 and not heads:
            assert ranks is None
            continue
        raw, filtered = plain_ranks(model, lines, triples, column=column)
        assert ranks.raw.tolist() == raw
        assert ranks.filtered.tolist() == filtered
    for triple, own, backwards in zip(triples, found.train_index, found.reversed_train_index, strict=True):
        assert own.tolist() == np.flatnonzero((lines == triple).all(axis=1)).tolist()
        is_turned = (lines == triple[::-1]).all(axis=1) & (triple[0] != triple[2])
        assert backwards.tolist() == np.flatnonzero(is_turned).tolist()


@pytest.fixture(scope="module")
def triples(graph: Graph) -> np.ndarray:
    """Test triples of all kinds: in training, once and repeated, backwards in training, and of a pair without tails."""
    distinct, times = np.unique(graph.lines, axis=0, return_counts=True)
    repeated, single = distinct[times > 2][:2], distinct[times == 1][:2]
    turned = next(line for line in distinct if line[0] != line[2])[::-1]
    pairs = {tuple(line[:2]) for line in distinct.tolist()}
    head, relation = next((h, r) for h in range(NUM_ENTITIES) for r in range(NUM_RELATIONS) if (h, r) not in pairs)
    return np.concatenate([graph.test_triples, repeated, single, [turned, [head, relation, 3], [8, 1, 8]]])


@pytest.fixture(scope="module")
def double(graph: Graph) -> Checkpoint:
    """The small ConvE in float64, in which some entities have the same row, so that their scores are equal."""
    model = small_model(seed=5)
    with torch.no_grad():
        model.entity_embeddings.weight[20:50] = model.entity_embeddings.weight[20]
    return load_checkpoint(save_checkpoint(graph.folder / "ties.pt", model), dtype=torch.float64)


def any_checkpoint(folder: Path, kind: type[nn.Module]) -> Checkpoint:
    torch.manual_seed(1)
    path = folder / f"{kind.__name__}.pt"
    torch.save(kind(NUM_ENTITIES, NUM_RELATIONS).state_dict(), path)
    return load_checkpoint(path, description=ModelDescription(model=kind), dtype=torch.float64)


def predictions_of(make_job: MakeJob, client: Client | None = None, **options) -> Predictions:
    found = make_job(precision="float64", audit=0, **options).carry_out(client).predictions
    assert found is not None
    return found


def test_tails_of_conve_are_ranked_as_by_a_plain_loop_and_heads_are_not(make_job, graph, double, triples):
    result = make_job(model=double, tests=triples, precision="float64", audit=0).carry_out()
    assert_is_plain(result.predictions, double.model, graph.lines, triples, heads=False)
    assert {len(lines) for lines in result.predictions.train_index} >= {0, 1, 3}
    assert any(rank % 1 for rank in result.predictions.tail_ranks.raw), "a rank in the middle of an even number"
    expected = torch.sigmoid(torch.from_numpy(result.predictions.score)).numpy()
    np.testing.assert_allclose(result.predictions.probability, expected, rtol=1e-12)
    assert result.run["prediction"] | {"why_no_head_ranks": ""} == {
        "checkpoint": str(double.path),
        "num_entities": NUM_ENTITIES,
        "probability": "sigmoid of the score",
        "why_no_head_ranks": "",
    }
    assert "does not name an inverse" in result.run["prediction"]["why_no_head_ranks"]


@pytest.mark.parametrize("kind", [Distances, RightTails, WrongTails])
def test_both_ends_of_any_model_are_ranked_as_by_a_plain_loop(make_job, graph, triples, tmp_path, kind):
    checkpoint = any_checkpoint(tmp_path, kind)
    found = predictions_of(make_job, model=checkpoint, tests=triples)
    assert_is_plain(found, checkpoint.model, graph.lines, triples, heads=True)
    assert (found.probability is None) == (kind is Distances)


@pytest.mark.parametrize("kind", [None, Distances, RightTails])
def test_pieces_of_any_size_give_the_same_ranks(make_job, graph, double, monkeypatch, kind):
    checkpoint, tests = double if kind is None else any_checkpoint(graph.folder, kind), graph.lines[:9]
    whole = predictions_of(make_job, model=checkpoint, tests=tests)
    for home, name, value in (
        (pieces, "SCORE_BYTES", 2000),
        (pieces, "ROW_BYTES", 700),
        (cost, "KNOWN_BYTES", 50),
        (cost, "MOST_TESTS", 2),
    ):
        monkeypatch.setattr(home, name, value)
    cut = predictions_of(make_job, model=checkpoint, tests=tests)
    np.testing.assert_allclose(cut.score, whole.score, rtol=1e-12)
    assert (cut.tail_ranks, cut.head_ranks) == (whole.tail_ranks, whole.head_ranks)
    assert (cut.train_index, cut.reversed_train_index) != ((), ())


def test_all_tails_are_asked_for_at_once_only_where_they_are_right(tmp_path):
    kinds = {kind: any_checkpoint(tmp_path, kind).model for kind in (Distances, RightTails, WrongTails)}
    at_once = {kind: candidates.Candidates.of(model).tails_at_once for kind, model in kinds.items()}
    assert at_once == {Distances: False, RightTails: True, WrongTails: False}


def test_workers_find_what_one_process_finds(make_job, triples, client, monkeypatch):
    monkeypatch.setattr(cost, "MOST_TESTS", 3)
    job = make_job(tests=triples, audit=0)
    assert job.carry_out(client).predictions == job.carry_out().predictions


def test_the_last_of_several_checkpoints_is_asked(make_job, checkpoint, tmp_path):
    last = load_checkpoint(save_checkpoint(tmp_path / "last.pt", small_model(seed=8)))
    result = make_job(model=[checkpoint, last]).carry_out()
    assert result.run["prediction"]["checkpoint"] == str(last.path)
    assert result.predictions == make_job(model=last).carry_out().predictions
    assert result.predictions != make_job(model=checkpoint).carry_out().predictions


def test_the_other_tails_are_scored_and_ranked_too(make_job, graph, double, triples):
    others = np.array([int(tail) for tail in (triples[:, 2] + 11) % NUM_ENTITIES])
    found = predictions_of(make_job, model=double, tests=triples, contrast=tuple(others.tolist()))
    assert_is_plain(found, double.model, graph.lines, triples, heads=False)
    instead = np.column_stack([triples[:, :2], others])
    assert_is_plain(found.contrast, double.model, graph.lines, instead, heads=False)


def test_each_member_of_a_set_is_scored_and_ranked(make_job, triples):
    apart = make_job(tests=triples).carry_out()
    together = make_job(tests=triples, together=tuple("ab"[row % 2] for row in range(len(triples)))).carry_out()
    assert together.predictions == apart.predictions
    members = [one for index in (0, 1) for one in together.to_dict(index)["test_set"]["test_triples"]]
    assert {one["test_index"]: one["prediction"]["score"] for one in members} == dict(
        enumerate(apart.predictions.score.tolist())
    )


def test_self_influence_is_about_no_test_triple(make_job):
    result = make_job(mode="self").carry_out()
    assert result.predictions is None
    assert "prediction" not in result.run
    with pytest.raises(ConfigError, match="ranks are those of test triples, and mode 'self' has none"):
        RunConfig.of(mode="self", ranks="none")


def test_rounded_products_of_a_run_do_not_round_its_predictions(make_job):
    plain, rounded = (make_job(precision=name).carry_out() for name in ("float32", "bf16-emulated"))
    assert rounded.predictions == plain.predictions
    assert bits(rounded) != bits(plain)


def ranked(result: InfluenceResult) -> tuple[bool, bool]:
    return result.predictions.tail_ranks is not None, result.predictions.head_ranks is not None


def test_ranks_that_take_too_long_are_left_out_unless_all_are_asked_for(make_job, triples, tmp_path, monkeypatch):
    jobs = {
        ranks: make_job(model=any_checkpoint(tmp_path, RightTails), tests=triples, precision="float64", ranks=ranks)
        for ranks in ("auto", "all", "none")
    }
    plans = choice.RankChoice(jobs["auto"].prepared)
    assert ranked(jobs["auto"].carry_out()) == (True, True)
    monkeypatch.setattr(choice, "MOST_SECONDS", (plans.tail_seconds + plans.head_seconds) * 0.99)
    without_heads = jobs["auto"].carry_out()
    assert ranked(without_heads) == (True, False)
    assert "only with --ranks all" in without_heads.run["prediction"]["why_no_head_ranks"]
    monkeypatch.setattr(choice, "MOST_SECONDS", plans.tail_seconds * 0.99)
    without = jobs["auto"].carry_out()
    assert ranked(without) == (False, False)
    assert "only with --ranks all" in without.run["prediction"]["why_no_tail_ranks"]
    assert ranked(jobs["all"].carry_out()) == (True, True)
    monkeypatch.undo()
    none = jobs["none"].carry_out()
    assert ranked(none) == (False, False)
    assert none.run["prediction"]["why_no_tail_ranks"] == "--ranks none"
    assert none.predictions.score.tolist() == without.predictions.score.tolist()


def test_a_run_with_other_ranks_goes_on_with_what_is_recorded(make_job, tmp_path):
    execution = Execution(record_directory=tmp_path / "records")
    first = make_job(ranks="none").carry_out(execution=execution)
    again = make_job(ranks="all").carry_out(execution=execution)
    assert again.run["statistics"]["resumed_rows"] == again.run["num_training_triples"]
    assert bits(again) == bits(first)
    assert again.predictions.tail_ranks is not None


@pytest.fixture(scope="module")
def doubled(graph: Graph, tmp_path_factory) -> tuple[TripleStore, np.ndarray]:
    """The small graph with a name for the inverse of every relation, and some of its triples backwards, too."""
    folder = tmp_path_factory.mktemp("doubled")
    backwards = graph.lines[::2][:, ::-1] + np.array([0, NUM_RELATIONS, 0])
    lines = np.concatenate([graph.lines, backwards])
    (folder / "train.txt").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines.tolist()))
    relations = [f"kind{number}" for number in range(NUM_RELATIONS)]
    labels = {"entity": [f"thing{number}" for number in range(NUM_ENTITIES)]}
    labels["relation"] = [*relations, *(f"{name}_reverse" for name in relations)]
    maps = {}
    for kind, names in labels.items():
        maps[f"{kind}_to_id"] = folder / f"{kind}.tsv"
        maps[f"{kind}_to_id"].write_text("".join(f"{name}\t{number}\n" for number, name in enumerate(names)))
    return ingest(folder / "train.txt", folder / "graph.zarr", **maps), lines


def test_heads_are_ranked_as_tails_of_inverse_relations_where_there_are_such(doubled, triples, tmp_path):
    store, lines = doubled
    model = load_checkpoint(
        save_checkpoint(tmp_path / "doubled.pt", small_model(seed=6, num_relations=2 * NUM_RELATIONS)),
        dtype=torch.float64,
    )
    result = run(store, model, triples, config=RunConfig.of(precision="float64", audit=0))
    backwards = triples[:, ::-1] + np.array([0, NUM_RELATIONS, 0])
    known = np.concatenate([lines, lines[:, ::-1] + np.array([0, NUM_RELATIONS, 0])])
    raw, filtered = plain_ranks(model.model, known, backwards, column=2)
    assert result.predictions.head_ranks.raw.tolist() == raw
    assert result.predictions.head_ranks.filtered.tolist() == filtered
    assert result.run["prediction"]["heads"] == "tails of inverse relations"
