"""Runs over several checkpoints: sums before the ranking, equal bits however they are cut, loads, contributions."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import oracle
import pytest
import torch
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, Graph, MakeJob, bits, loaded_files, save_checkpoint, small_model

from tracin_dask.errors import CheckpointError, ConfigError, ResumeError
from tracin_dask.influence.losses import OneToAll
from tracin_dask.launch.run import run
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs import prepare as prepare_module
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute import on_worker
from tracin_dask.runs.execute.driver import Execution, _job
from tracin_dask.runs.inputs.poor_options import SUMMED
from tracin_dask.runs.prepare import prepare
from tracin_dask.runs.work import reported
from tracin_dask.runs.work.score import load_ahead
from tracin_dask.runs.work.state import WorkerState

RATES = (0.04, 0.01, 0.0025)
SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 4}
TOLERANCE = 1e-5
MODES = pytest.mark.parametrize("mode", ["test", "self"])


def save_series(folder: Path, seeds: Sequence[int]) -> tuple[Checkpoint, ...]:
    return tuple(load_checkpoint(save_checkpoint(folder / f"{seed}.pt", small_model(seed))) for seed in seeds)


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> tuple[Checkpoint, ...]:
    return save_series(tmp_path_factory.mktemp("series"), (31, 32, 33))


@pytest.fixture(scope="module")
def make(make_job: MakeJob, series):
    """Make a job over the series."""
    return lambda **options: make_job(**({"model": series, "learning_rate": RATES} | options))


@pytest.fixture(scope="module")
def by_checkpoint(graph: Graph, series) -> tuple[np.ndarray, np.ndarray]:
    """What the oracle says in float64 of every line: influences [checkpoint, row, test], and what errors scale with."""
    distinct, line = np.unique(graph.lines, axis=0, return_inverse=True)
    train, test = torch.from_numpy(distinct), torch.from_numpy(graph.test_triples)
    found, scale = [], []
    for checkpoint, rate in zip(series, RATES, strict=True):
        model = copy.deepcopy(checkpoint.model).double()
        products = sum(oracle.products(model, train, test).values())
        ours, theirs = (
            torch.stack(list(oracle.norms(model, triples).values())).norm(dim=0) for triples in (train, test)
        )
        found.append(rate * products.numpy()[line.ravel()])
        scale.append(rate * (ours[:, None] * theirs).numpy()[line.ravel()])
    return np.stack(found), np.stack(scale)


def test_a_run_over_checkpoints_ranks_the_sums_of_the_oracle(make, by_checkpoint):
    influence, scale = (values.sum(axis=0) for values in by_checkpoint)
    result = make(top_k=NUM_ROWS).carry_out()
    for test, ranking in enumerate(result.rankings):
        error = np.abs(ranking.influence - influence[ranking.train_index, test])
        assert len(ranking) == NUM_ROWS
        assert (error <= TOLERANCE * scale[ranking.train_index, test]).all()
        assert (np.diff(np.abs(ranking.influence)) <= 0).all()


def test_the_strongest_triple_of_the_sum_need_not_lead_at_any_checkpoint(
    make, make_job: MakeJob, series, by_checkpoint
):
    """Triples that are good in every checkpoint surpass those that are best in one: ranking first would lose them."""
    options = {"learning_rate": 0.01, "top_k": 3}
    summed = make(**options).carry_out()
    alone = [make_job(model=checkpoint, **options).carry_out() for checkpoint in series]
    truth = sum(0.01 / rate * influence for rate, influence in zip(RATES, by_checkpoint[0], strict=True))
    lost: list[set[int]] = []
    for test, ranking in enumerate(summed.rankings):
        merged = {line for result in alone for line in result.rankings[test].train_index.tolist()}
        lost.append(set(ranking.train_index.tolist()) - merged)
        best = np.sort(np.abs(truth[:, test]))[::-1][:3]
        np.testing.assert_allclose(np.abs(ranking.influence), best, rtol=1e-4)
    assert list(map(len, lost)) == [0, 0, 1]


def test_a_list_of_one_checkpoint_equals_that_checkpoint(graph: Graph, checkpoint: Checkpoint):
    alone, listed = (run(graph.store, given, graph.test_triples) for given in (checkpoint, [checkpoint]))
    assert bits(alone) == bits(listed)
    differs = {"started", "seconds", "statistics", "audit"}  # all of these state times
    assert alone.learning_rate == listed.learning_rate == 0.01
    assert {k: v for k, v in alone.run.items() if k not in differs} == {
        k: v for k, v in listed.run.items() if k not in differs
    }


def test_self_influence_is_summed_over_checkpoints(make, make_job: MakeJob, series):
    found = make(mode="self", top_k=NUM_ROWS).carry_out().rankings[0]
    expected = np.zeros(NUM_ROWS)
    for checkpoint, rate in zip(series, RATES, strict=True):
        alone = make_job(model=checkpoint, learning_rate=rate, mode="self", top_k=NUM_ROWS).carry_out().rankings[0]
        expected[alone.train_index] += alone.influence
    np.testing.assert_allclose(found.influence, expected[found.train_index], rtol=1e-5)


@MODES
@pytest.mark.parametrize("where", ["in process", "two workers"])
def test_tasks_and_workers_change_no_bit_over_checkpoints(make, client: Client, mode, where):
    job = make(mode=mode)
    cut = job.carry_out(client if where == "two workers" else None, **SMALL_TASKS)
    assert bits(cut) == bits(job.carry_out())
    assert cut.run["statistics"]["rows"] == NUM_ROWS


def test_factors_computed_in_every_task_change_no_bit_over_checkpoints(make):
    again, once = (make(cache_test_gradients=cache).carry_out(**SMALL_TASKS) for cache in (False, True))
    assert bits(again) == bits(once)
    assert again.run["statistics"]["test_factor_computations"] == again.run["statistics"]["tasks"]


def test_every_worker_loads_every_checkpoint_once(make_job: MakeJob, client: Client, tmp_path: Path):
    job = make_job(model=save_series(tmp_path, (41, 42, 43)))
    first = job.carry_out(client, **SMALL_TASKS)
    again = job.carry_out(client, **SMALL_TASKS)
    loads = first.run["statistics"]["checkpoint_loads"]
    assert loads in {3, 6}  # a worker that got no task counts none
    assert loads + again.run["statistics"]["checkpoint_loads"] <= 6
    assert first.run["statistics"]["tasks"] > 6
    assert job.carry_out().run["statistics"]["checkpoint_loads"] == 0


def test_a_worker_holds_the_checkpoints_of_its_last_run_only(make, make_job: MakeJob, series):
    state = WorkerState()
    for job in (make(), make_job(model=series[1])):
        planned = _job(job.prepared, job.plan, job.prepared.reductions())
        load_ahead(state, planned)
        assert loaded_files(state) == [checkpoint.sha256 for checkpoint in job.prepared.checkpoints]


@pytest.mark.parametrize("unseen", ["51.pt", ".pt"])
def test_workers_get_the_weights_of_checkpoints_that_they_do_not_see(
    make_job: MakeJob, client: Client, tmp_path, monkeypatch, unseen
):
    sent, files = [], save_series(tmp_path, (51, 52))
    dump = CheckpointFile.dump

    def note(file):
        sent.append(file.path.name)
        return dump(file)

    monkeypatch.setattr(CheckpointFile, "dump", note)
    monkeypatch.setattr(on_worker, "missing", lambda paths: {path: "" for path in paths if path.endswith(unseen)})
    job = make_job(model=files, audit=0)
    assert bits(job.carry_out(client, **SMALL_TASKS)) == bits(job.carry_out())
    assert sent == [f.path.name for f in files if f.path.name.endswith(unseen)]


def test_a_result_states_checkpoints_and_learning_rates(make, series, tmp_path: Path):
    result = make().carry_out()
    contents = result.to_dict()
    assert contents["learning_rate"] == list(RATES)
    assert contents["run"]["schema_version"] == 4
    assert contents["run"]["checkpoints"] == [
        {"path": str(c.path), "sha256": c.sha256, "epoch": None, "learning_rate": rate}
        for c, rate in zip(series, RATES, strict=True)
    ]
    assert json.loads(json.dumps(contents)) == contents
    result.write_directory(tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text())["learning_rate"] == list(RATES)


class TestContributions:
    @MODES
    @pytest.mark.parametrize("where", ["in process", "two workers"])
    def test_checkpoint_contributions_sum_to_the_influence(self, make, client: Client, mode, where):
        result = make(mode=mode, checkpoint_contributions=True).carry_out(client if where == "two workers" else None)
        name = "influence" if mode == "test" else "self_influence"
        for test in range(len(result.rankings)):
            contents = result.to_dict(test)
            entries = contents[f"{name}s"]
            sums = [sum(entry[f"{name}_by_checkpoint"]) for entry in entries]
            largest = max(abs(entry[name]) for entry in entries)
            np.testing.assert_allclose(sums, [entry[name] for entry in entries], rtol=1e-4, atol=1e-5 * largest)
            assert {len(entry[f"{name}_by_checkpoint"]) for entry in entries} == {3}
            assert json.loads(json.dumps(contents)) == contents

    @pytest.mark.parametrize("rank_by", ["absolute", "opponents"])
    def test_each_checkpoint_contribution_equals_the_oracle(self, make, by_checkpoint, rank_by, monkeypatch):
        monkeypatch.setattr(reported, "TESTS_AT_A_TIME", 2)
        influence, scale = by_checkpoint
        result = make(checkpoint_contributions=True, rank_by=rank_by, batch_size=16, top_k=30).carry_out()
        for test, (ranking, found) in enumerate(zip(result.rankings, result.contributions, strict=True)):
            lines = ranking.train_index
            error = np.abs(found.T - influence[:, lines, test])
            assert (error <= TOLERANCE * scale[:, lines, test]).all()

    def test_checkpoint_contributions_change_no_influence_and_are_in_the_table(self, make):
        plain, more = make().carry_out(), make(checkpoint_contributions=True).carry_out()
        assert bits(plain) == bits(more)
        assert plain.contributions is None
        assert "influence_by_checkpoint" not in plain.to_dict()["influences"][0]
        table = more.to_pandas()
        assert table["influence_by_checkpoint"].map(len).eq(3).all()

    def test_an_empty_list_has_no_checkpoint_contributions(self, make_job: MakeJob, series, monkeypatch):
        monkeypatch.setattr(prepare_module, "refuse_wrong_value", lambda *_: None)  # a loss without influences

        class Steady:
            name = "steady"

            def value(self, scores: torch.Tensor) -> torch.Tensor:
                return 0 * scores

        job = make_job(model=series, loss=Steady(), rank_by="proponents", checkpoint_contributions=True)
        result = job.carry_out()
        assert [len(ranking) for ranking in result.rankings] == [0, 0, 0]
        assert [found.shape for found in result.contributions] == [(0, 3)] * 3
        assert "influence_by_checkpoint" in result.to_pandas().columns

    def test_a_resumed_run_has_checkpoint_contributions(self, make, client: Client, tmp_path: Path):
        execution = Execution(record_directory=tmp_path / "records")
        make().carry_out(execution=execution)
        asked = make(checkpoint_contributions=True)
        again = asked.carry_out(client, execution=execution)
        assert again.run["statistics"]["resumed_rows"] == NUM_ROWS
        np.testing.assert_allclose(again.contributions[0], asked.carry_out().contributions[0], rtol=1e-6)


class TestResume:
    @pytest.fixture
    def recorded(self, make, tmp_path: Path) -> Execution:
        execution = Execution(record_directory=tmp_path / "records")
        make().carry_out(execution=execution, **SMALL_TASKS)
        return execution

    def test_an_interrupted_run_over_checkpoints_resumes(self, make, recorded):
        assert make().carry_out(execution=recorded).run["statistics"]["resumed_rows"] == NUM_ROWS

    @pytest.mark.parametrize(
        "case",
        [
            ((0, 1), RATES[:2], r"checkpoint: \[.*\] then, \[.*\] now; learning rate: \[.*\] then, \[0.04, 0.01\] now"),
            ((1, 0, 2), RATES, r"\(checkpoint: \[.*\] then, \[.*\] now\)"),
            ((0, 1, 2), (0.04, 0.01, 0.0026), r"\(learning rate: \[0.04, 0.01, 0.0025\] then, \[.*0.0026\] now\)"),
            ((0,), RATES[:1], r"checkpoint: \[.*\] then, \w{12}… now; learning rate: \[.*\] then, 0.04 now"),
        ],
        ids=["fewer", "another order", "another learning rate", "one"],
    )
    def test_resuming_with_other_checkpoints_or_learning_rates_is_refused(self, make, series, recorded, case):
        chosen, rates, difference = case
        other = make(model=tuple(series[place] for place in chosen), learning_rate=rates)
        with pytest.raises(ResumeError, match=difference):
            other.carry_out(execution=recorded)


class TestRefused:
    def test_refuses_a_checkpoint_of_another_graph_among_others(self, graph: Graph, series, tmp_path: Path):
        odd = load_checkpoint(save_checkpoint(tmp_path / "odd.pt", small_model(num_entities=61)))
        with pytest.raises(CheckpointError, match=r"odd\.pt was trained with 61 entities, the id map has 60"):
            prepare(graph.store, [*series, odd])

    def test_refuses_a_checkpoint_of_other_sizes_among_others(self, graph: Graph, series, tmp_path: Path):
        odd = load_checkpoint(save_checkpoint(tmp_path / "odd.pt", small_model(output_channels=7)))
        with pytest.raises(CheckpointError, match=r"odd\.pt is another model than .*: output_channels 7, not 5"):
            prepare(graph.store, [odd, *series])

    def test_a_run_refuses_the_same_checkpoint_twice(self, graph: Graph, series):
        with pytest.raises(CheckpointError, match=r"31\.pt and .*31\.pt are the same file"):
            prepare(graph.store, [series[0], series[1], series[0]])

    def test_a_run_refuses_an_empty_list_of_checkpoints(self, graph: Graph):
        with pytest.raises(CheckpointError, match="no checkpoint is given"):
            prepare(graph.store, [])

    def test_a_run_refuses_a_wrong_number_of_learning_rates(self, graph: Graph, series):
        with pytest.raises(ConfigError, match=r"2 learning rates and 3 checkpoint\(s\)"):
            prepare(graph.store, series, config=RunConfig.of(mode="self", learning_rate=(0.1, 0.2)))


POOR = "sums over checkpoints under the loss one-to-all"


def test_a_sum_over_checkpoints_under_one_to_all_is_warned_of_with_figures(make, caplog):
    make(loss=OneToAll(label_smoothing=0.1))
    (said,) = [record.getMessage() for record in caplog.records if POOR in record.getMessage()]
    assert f"{SUMMED[0]:.2f} on UMLS" in said
    assert "--preset retraining" in said


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": OneToAll(), "curvature": "rows"},
        {"loss": OneToAll(), "normalize": "cosine"},
        {"loss": OneToAll(), "parameters": ("fc.*",)},
        {"loss": OneToAll(), "explain": "score"},
        {"loss": OneToAll(), "mode": "self"},
    ],
)
def test_other_sums_over_checkpoints_are_not_warned_of(make, caplog, options):
    make(**options)
    assert POOR not in caplog.text


def test_one_checkpoint_of_several_trainings_is_not_warned_of(make, series, caplog):
    make(model=[[one] for one in series], loss=OneToAll())
    assert POOR not in caplog.text
