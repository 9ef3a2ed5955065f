"""The best training triples of each relation: as a full ranking that is cut by hand."""

from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from distributed import Client
from small_graph import BATCH_SIZE, NUM_RELATIONS, NUM_ROWS, Graph, MakeJob, bits
from test_masks import SMALL_TASKS, by_line, is_ranked, stop_late

from tracin_dask.errors import ConfigError, ResumeError
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution

PER_RELATION = {"top_k": 4, "top_k_per": "relation"}


def assert_cut_by_relation(result: InfluenceResult, influences: np.ndarray, ranked: np.ndarray, graph: Graph) -> None:
    rank_by, relations = result.run["rank_by"], graph.lines[:, 1]
    for test, ranking in enumerate(result.rankings):
        values = influences[test]
        cost = {"absolute": -np.abs(values), "proponents": -values, "opponents": values}[rank_by]
        left = np.flatnonzero(ranked[test] & ((cost < 0) if rank_by != "absolute" else True))
        order = left[np.lexsort((left, cost[left]))]
        best = [row for place, row in enumerate(order) if (relations[order[:place]] == relations[row]).sum() < 4]
        assert ranking.train_index.tolist() == best
        assert ranking.influence.astype(np.float32).tobytes() == values[best].tobytes()
        assert ranking.triples.tolist() == graph.lines[best].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rank_by": "proponents"},
        {"rank_by": "opponents", "touching": "either"},
        {"mode": "self"},
        {"curvature": "rows"},
        {"only_relations": (1, 3), "exclude_self": True, "normalize": "cosine", "checkpoint_contributions": True},
    ],
    ids=str,
)
def test_a_list_is_a_full_ranking_cut_by_relation(make_job: MakeJob, graph: Graph, options, tmp_path: Path):
    job = make_job(save_scores=tmp_path / "scores.zarr", **PER_RELATION, **options)
    result, influences = job.carry_out(**SMALL_TASKS), by_line(tmp_path / "scores.zarr")
    ranked = is_ranked(graph, options)[: len(influences)]
    if options.get("curvature") == "rows":
        ranked &= influences != 0
    assert_cut_by_relation(result, influences, ranked, graph)
    assert bits(make_job(**PER_RELATION, **options).carry_out()) == bits(result)
    assert result.run["top_k_per"] == "relation"
    assert max(map(len, result.rankings)) > result.top_k


def test_equal_influences_are_ordered_by_the_training_file(make_job: MakeJob):
    """The training file has duplicates, whose influences are equal."""
    result = make_job(top_k=NUM_ROWS, top_k_per="relation").carry_out()
    for ranking in result.rankings:
        equal = np.flatnonzero(np.diff(ranking.influence) == 0)
        assert len(equal) > 100
        assert (np.diff(ranking.train_index)[equal] > 0).all()
        assert sorted(ranking.train_index.tolist()) == list(range(NUM_ROWS))


def test_proponents_and_opponents_beyond_the_list_are_those_of_both_sides(make_job: MakeJob):
    result = make_job(top_k=1, top_k_per="relation").carry_out()
    for listed, further in zip(result.rankings, result.further, strict=True):
        assert len(listed) == NUM_RELATIONS
        assert not np.isin(further.train_index, listed.train_index).any()
        assert {*np.sign(further.influence)} <= {-1, 1}


def test_workers_and_task_sizes_change_no_list(make_job: MakeJob, client: Client):
    job = make_job(**PER_RELATION, touching="either")
    whole = job.carry_out()
    for result in (job.carry_out(**SMALL_TASKS), job.carry_out(client, task_rows=BATCH_SIZE, tasks_per_group=9)):
        assert bits(result) == bits(whole)


def test_a_run_is_resumed_only_with_lists_of_the_same_kind(make_job: MakeJob, tmp_path: Path):
    job, execution = make_job(**PER_RELATION), Execution(record_directory=tmp_path, progress=stop_late)
    with pytest.raises(InterruptedError):
        job.carry_out(execution=execution, **SMALL_TASKS)
    with pytest.raises(ResumeError, match="another run"):
        make_job(top_k=4).carry_out(execution=Execution(record_directory=tmp_path))
    result = job.carry_out(execution=Execution(record_directory=tmp_path), **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == 6 * BATCH_SIZE
    assert bits(result) == bits(job.carry_out())


def test_the_memory_of_all_lists_is_planned(make_job: MakeJob):
    plain, each = (make_job(top_k=10**5, **more).plan.memory.kept["top_k"] for more in ({}, {"top_k_per": "relation"}))
    assert (NUM_RELATIONS - 0.1) * plain.total < each.total
    assert each.what == "the top k of every relation"


def test_lists_of_anything_else_are_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    with pytest.raises(ConfigError, match="top_k_per must be relation, not 'head'"):
        RunConfig.of(top_k_per="head")
