"""Runs whose influences are divided by norms: values, ranking, what is stated, contributions, bits, resuming, plans."""

import copy
import json
from pathlib import Path

import jaxtyping
import numpy as np
import oracle
import pytest
import torch
from distributed import Client
from small_graph import (
    BATCH_SIZE,
    LEARNING_RATE,
    NUM_ENTITIES,
    NUM_ROWS,
    Graph,
    MakeJob,
    Truth,
    bits,
    save_checkpoint,
    small_model,
)

from tracin_dask.errors import ConfigError, ResumeError
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.launch.run import run
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs import prepare as prepare_module
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 4}
TOLERANCE = 1e-5
WAYS = pytest.mark.parametrize("normalize", ["cosine", "relatif"])


@pytest.fixture(scope="module")
def norms(graph: Graph, checkpoint: Checkpoint, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Norms of every line's gradient and of the test triples', times the root of the learning rate."""
    model = copy.deepcopy(checkpoint.model).double()
    tests = torch.stack(list(oracle.norms(model, torch.from_numpy(graph.test_triples)).values())).norm(dim=0)
    return np.sqrt(truth.self_influence), np.sqrt(LEARNING_RATE) * tests.numpy()


@WAYS
def test_normalised_influences_and_norms_equal_the_oracle_for_every_line(
    make_job: MakeJob, truth: Truth, norms, normalize
):
    ours, theirs = norms
    by_test = theirs if normalize == "cosine" else np.ones_like(theirs)
    result = make_job(top_k=NUM_ROWS, normalize=normalize).carry_out()
    for test, ranking in enumerate(result.rankings):
        lines = ranking.train_index
        assert sorted(lines) == list(range(NUM_ROWS))
        error = np.abs(ranking.influence - truth.influence[lines, test] / ours[lines] / by_test[test])
        assert (error <= TOLERANCE * theirs[test] / by_test[test]).all()
        assert (np.diff(np.abs(ranking.influence)) <= 0).all()
        np.testing.assert_allclose(result.norms.train[test], ours[lines], rtol=1e-5)
    np.testing.assert_allclose(result.norms.test, theirs, rtol=1e-5)


def test_cosines_are_at_most_one_and_a_test_triple_in_the_training_set_ranks_first(make_job: MakeJob, graph: Graph):
    result = make_job(top_k=NUM_ROWS, normalize="cosine").carry_out()
    for ranking in result.rankings:
        assert np.abs(ranking.influence).max() <= 1 + 1e-5
    first = result.rankings[0]
    assert first.triples[0].tolist() == graph.test_triples[0].tolist()
    assert first.influence[0] == pytest.approx(1, abs=1e-5)


@WAYS
def test_normalised_lists_have_shorter_gradients(make_job: MakeJob, norms, normalize):
    plain, divided = (make_job(normalize=way).carry_out() for way in ("none", normalize))
    for one, other in zip(plain.rankings, divided.rankings, strict=True):
        assert norms[0][other.train_index].mean() < norms[0][one.train_index].mean()


def test_duplicates_with_equal_normalised_influence_are_ordered_by_line(make_job: MakeJob):
    ranking = make_job(top_k=NUM_ROWS, normalize="cosine").carry_out().rankings[0]
    is_tie = ranking.influence[1:] == ranking.influence[:-1]
    assert is_tie.sum() > 100  # the text repeats 250 of its lines
    assert (np.diff(ranking.train_index)[is_tie] > 0).all()


@WAYS
@pytest.mark.parametrize("loss", [OneToAll(label_smoothing=0.1), SLCWA()], ids=lambda loss: loss.name)
def test_tasks_and_workers_change_no_bit_of_normalised_influences(make_job: MakeJob, client: Client, loss, normalize):
    job = make_job(loss=loss, normalize=normalize, cache_test_gradients=normalize == "relatif")
    whole = job.carry_out()
    for cut in (job.carry_out(**SMALL_TASKS), job.carry_out(client, **SMALL_TASKS)):
        assert bits(cut) == bits(whole)
        assert json.dumps(_entries(cut)) == json.dumps(_entries(whole))


def _entries(result) -> list[dict]:
    return [result.to_dict(test)["influences"] for test in range(len(result.rankings))]


@WAYS
def test_a_normalised_result_states_the_norms(make_job: MakeJob, normalize, tmp_path: Path):
    result = make_job(normalize=normalize).carry_out()
    contents = result.to_dict(1)
    assert list(contents)[:6] == [
        "test_triple",
        "prediction",
        "test_gradient_norm",
        "top_k",
        "learning_rate",
        "influences",
    ]
    assert contents["run"]["normalize"] == normalize
    assert contents["test_gradient_norm"] == result.norms.test[1] > 0
    assert [e["train_gradient_norm"] for e in contents["influences"]] == result.norms.train[1].tolist()
    assert json.loads(json.dumps(contents)) == contents
    table = result.to_pandas()
    assert {"test_gradient_norm", "train_gradient_norm"} <= set(table.columns)
    summary = json.loads(result.write_directory(tmp_path).read_text())
    assert [r["test_gradient_norm"] for r in summary["results"]] == result.norms.test.tolist()


def test_a_plain_result_states_no_norms(make_job: MakeJob):
    contents = make_job().carry_out().to_dict()
    assert contents["run"]["normalize"] == "none"
    assert not {"test_gradient_norm"} & set(contents)
    assert "train_gradient_norm" not in contents["influences"][0]


def test_an_empty_normalised_table_has_the_same_columns(make_job: MakeJob, monkeypatch):
    monkeypatch.setattr(prepare_module, "refuse_wrong_value", lambda *_: None)  # a loss without influences

    class Steady:
        name = "steady"

        def value(self, scores: torch.Tensor) -> torch.Tensor:
            return 0 * scores

    options = {"normalize": "cosine", "rank_by": "proponents", "checkpoint_contributions": True}
    empty = make_job(loss=Steady(), **options).carry_out()
    assert [len(ranking) for ranking in empty.rankings] == [0, 0, 0]
    assert empty.to_dict()["test_gradient_norm"] == 0
    expected = make_job(**options).carry_out().to_pandas().drop(columns="test_probability")  # not under any loss
    assert list(empty.to_pandas().columns) == list(expected.columns)


@WAYS
@pytest.mark.parametrize("where", ["in process", "two workers"])
def test_contributions_sum_to_the_normalised_influence(
    make_job: MakeJob, client: Client, tmp_path: Path, normalize, where
):
    paths = [save_checkpoint(tmp_path / f"{seed}.pt", small_model(seed)) for seed in (31, 32, 33)]
    series = tuple(map(load_checkpoint, paths))
    job = make_job(model=series, learning_rate=(0.04, 0.01, 0.0025), normalize=normalize, checkpoint_contributions=True)
    result = job.carry_out(client if where == "two workers" else None)
    for ranking, parts in zip(result.rankings, result.contributions, strict=True):
        largest = np.abs(ranking.influence).max()
        np.testing.assert_allclose(parts.sum(axis=1), ranking.influence, rtol=1e-4, atol=1e-5 * largest)
        assert parts.shape == (20, 3)


@WAYS
def test_records_of_another_normalisation_are_refused(make_job: MakeJob, tmp_path: Path, normalize):
    execution = Execution(record_directory=tmp_path / "records")
    make_job().carry_out(execution=execution)
    with pytest.raises(ResumeError, match=rf"\(normalize: none then, {normalize} now\)"):
        make_job(normalize=normalize).carry_out(execution=execution)


def test_normalised_self_influence_is_refused(graph: Graph, checkpoint: Checkpoint):
    with pytest.raises(ConfigError, match="in mode 'self' a triple meets itself only, and its cosine with itself is 1"):
        run(graph.store, checkpoint, config=RunConfig.of(mode="self", normalize="cosine"))


def test_an_unknown_normalisation_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    with pytest.raises(ConfigError, match="normalize must be none, cosine or relatif, not 'length'"):
        RunConfig.of(normalize="length")


def nearly_equal_tails(path: Path, tails: list[int]) -> Checkpoint:
    """Save a model in which one of the tails is the other but for rounding."""
    model = small_model()
    with torch.no_grad():
        table = model.entity_embeddings.weight
        table[tails[1]] = table[tails[0]] * (1 + 1e-6)
    return load_checkpoint(save_checkpoint(path, model))


@WAYS
@pytest.mark.parametrize("where", ["in process", "two workers"])
def test_quotients_of_rounding_errors_are_0_and_counted(
    make_job: MakeJob, client: Client, graph: Graph, tmp_path: Path, *, normalize, where
):
    test = graph.test_triples[:2]
    other = next(e for e in range(NUM_ENTITIES) if e not in test[:, 2])
    model = nearly_equal_tails(tmp_path / "model.pt", [int(test[0, 2]), other])
    options = {"tests": test, "model": model, "contrast": (other,), "normalize": normalize, "top_k": NUM_ROWS}
    options |= {"parameters": ("fc.*",)}  # the rows of both tails are different parameters: they would not cancel
    job = make_job(**options, checkpoint_contributions=True)
    result = job.carry_out() if where == "in process" else job.carry_out(client, **SMALL_TASKS)
    first, second = result.rankings
    assert (second.influence != 0).all()
    if normalize == "relatif":  # nothing is divided by the length of the contrast
        assert result.run["statistics"]["cancelled_influences"] == 0
        return
    assert result.run["statistics"]["cancelled_influences"] == NUM_ROWS
    assert not first.influence.any()
    assert not result.contributions[0].any()
