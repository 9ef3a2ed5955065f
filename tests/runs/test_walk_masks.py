"""Runs with masks that follow the graph: they rank what is left of a full run, whatever else is asked."""

import json
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, Graph, MakeJob, bits
from test_masks import SMALL_TASKS, assert_masked, by_line, is_ranked, stop_late

from tracin_dask.errors import ConfigError, ResumeError
from tracin_dask.report.screen import why_nothing_is_ranked
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution

WALKS = {
    "hops": {"within_hops": 2, "max_degree": 22},
    "directed hops": {"within_hops": 2, "directed_hops": True},
    "paths": {"on_paths": 3, "max_degree": 22},
    "directed paths": {"on_paths": 3, "directed_hops": True},
    "long directed paths": {"on_paths": 4, "directed_hops": True, "max_degree": 20},
    "walks": {"on_paths": 3, "all_walks": True, "max_degree": 22},
    "near and on a path": {"within_hops": 1, "on_paths": 3},
    "with other masks": {"on_paths": 3, "only_relations": (1, 3), "touching": "tail", "exclude_self": True},
}


def walks(graph: nx.MultiGraph, head: int, tail: int, longest: int) -> list[list[tuple[int, int, int]]]:
    """List, for every triple on a walk from head to tail, that triple; walks may enter entities twice."""
    behind = nx.single_source_shortest_path_length(graph, head)
    before = nx.single_source_shortest_path_length(graph, tail)
    far = longest + 1
    return [
        [(start, end, line)]
        for one, other, line in graph.edges(keys=True)
        for start, end in ((one, other), (other, one))
        if behind.get(start, far) + 1 + before.get(end, far) <= longest
    ]


def follows(graph: Graph, options: dict) -> np.ndarray:
    """Say for each test triple and line whether networkx finds it [test, line]."""
    kind = nx.MultiDiGraph if options.get("directed_hops") else nx.MultiGraph
    whole, found = kind(), np.ones((3, NUM_ROWS), dtype=bool)
    whole.add_edges_from((head, tail, line) for line, (head, _, tail) in enumerate(graph.lines.tolist()))
    for test, (head, _, tail) in enumerate(graph.test_triples.tolist()):
        passed = {entity for entity, degree in whole.degree() if degree <= options.get("max_degree", NUM_ROWS)}
        part = whole.subgraph(passed | {head, tail})
        if "within_hops" in options:
            near = [
                nx.single_source_shortest_path_length(part, end, options["within_hops"] - 1) for end in (head, tail)
            ]
            starts = graph.lines[:, [0]] if options.get("directed_hops") else graph.lines[:, [0, 2]]
            found[test] &= np.isin(starts, list({*near[0], *near[1]})).any(axis=1)
        if "on_paths" in options:
            paths = nx.all_simple_edge_paths(part, head, tail, cutoff=options["on_paths"])
            if options.get("all_walks"):
                paths = walks(part, head, tail, options["on_paths"])
            found[test] &= np.isin(np.arange(NUM_ROWS), [line for path in paths for *_, line in path])
    return found


@pytest.fixture(params=WALKS)
def options(request: pytest.FixtureRequest) -> dict:
    return dict(WALKS[request.param])


def test_a_run_ranks_what_a_full_run_cut_by_hand_does(make_job: MakeJob, graph, options, tmp_path: Path):
    path, ranked = tmp_path / "scores.zarr", follows(graph, options) & is_ranked(graph, options)
    assert 0 < ranked.sum() < ranked.size
    result = make_job(save_scores=path, top_k=NUM_ROWS, **options).carry_out(**SMALL_TASKS)
    assert_masked(result, by_line(path), ranked, "absolute")
    alone = make_job(top_k=NUM_ROWS, **options).carry_out(**SMALL_TASKS)
    assert bits(alone) == bits(result)


def test_runs_that_read_only_neighbours_rank_the_same(make_job: MakeJob, graph: Graph, tmp_path: Path):
    for number, chosen in enumerate(({"within_hops": 2, "max_degree": 22}, {"on_paths": 3, "directed_hops": True})):
        job = make_job(top_k=NUM_ROWS, curvature="rows", **chosen)
        assert job.prepared.neighbourhood is not None
        path = tmp_path / f"{number}.zarr"
        plain = make_job(save_scores=path, curvature="rows").carry_out()
        influences, ranked = by_line(path), follows(graph, chosen)
        result = job.carry_out(**SMALL_TASKS)
        assert plain.num_ranked is None
        assert result.num_ranked.tolist() == ranked.sum(axis=1).tolist()
        for test, ranking in enumerate(result.rankings):
            expected = np.flatnonzero(ranked[test] & (influences[test] != 0))
            assert sorted(ranking.train_index.tolist()) == expected.tolist()


def test_workers_and_task_sizes_change_nothing(make_job: MakeJob, client: Client):
    job = make_job(on_paths=4, max_degree=20)
    whole = job.carry_out()
    for result in (job.carry_out(**SMALL_TASKS), job.carry_out(client, task_rows=BATCH_SIZE, tasks_per_group=9)):
        assert bits(result) == bits(whole)
        assert result.num_ranked.tolist() == whole.num_ranked.tolist()


def test_test_triples_explained_together_follow_every_member(make_job: MakeJob, graph: Graph):
    each = follows(graph, WALKS["paths"])
    result = make_job(together=("a", "b", "a"), top_k=NUM_ROWS, **WALKS["paths"]).carry_out()
    assert result.num_ranked.tolist() == [(each[0] | each[2]).sum(), each[1].sum()]


def test_a_contrast_follows_the_test_triple_alone(make_job: MakeJob, graph: Graph):
    contrast = [(tail + 1) % 60 for tail in graph.test_triples[:, 2].tolist()]
    result = make_job(contrast=tuple(contrast), **WALKS["hops"]).carry_out()
    assert result.num_ranked.tolist() == follows(graph, WALKS["hops"]).sum(axis=1).tolist()


def test_a_run_is_resumed_only_with_the_same_walks(make_job: MakeJob, tmp_path: Path):
    job, execution = make_job(within_hops=2), Execution(record_directory=tmp_path, progress=stop_late)
    with pytest.raises(InterruptedError):
        job.carry_out(execution=execution, **SMALL_TASKS)
    for other in ({"within_hops": 1}, {"within_hops": 2, "max_degree": 9}, {"on_paths": 2}):
        with pytest.raises(ResumeError, match=r"another run \(num ranked: \{'within_hops': 2\} then, .* now\)"):
            make_job(**other).carry_out(execution=Execution(record_directory=tmp_path))
    result = job.carry_out(execution=Execution(record_directory=tmp_path), **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == 6 * BATCH_SIZE
    assert bits(result) == bits(job.carry_out())


def test_the_result_names_the_walks(make_job: MakeJob):
    result = make_job(on_paths=2, directed_hops=True, min_degree=1000).carry_out()
    assert result.run["masks"] == {"on_paths": 2, "directed_hops": True, "min_degree": 1000}
    assert json.loads(json.dumps(result.to_dict(2)))["num_ranked_rows"] == result.num_ranked[2]
    assert why_nothing_is_ranked(result).startswith("--on-paths and --directed-hops and --min-degree left no")


def test_the_memory_of_walks_is_planned(make_job: MakeJob):
    near, paths = (make_job(**some) for some in ({"within_hops": 2}, {"on_paths": 4, "directed_hops": True}))
    by_touch = make_job(touching="head").plan.memory.kept["masks"].total
    for job in (near, paths):
        (mask,) = job.prepared.masks.masks
        assert job.plan.memory.kept["masks"].total == by_touch + mask.num_bytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"within_hops": 0}, "within_hops must be at least 1, not 0"),
        ({"on_paths": 5}, "on_paths must be 2, 3 or 4, the longest path in training triples, not 5"),
        ({"on_paths": 1}, "on_paths must be 2, 3 or 4"),
        ({"directed_hops": True}, "directed_hops counts only with within_hops or on_paths; give one of these, too"),
        ({"all_walks": True, "within_hops": 2}, "all_walks counts only with on_paths; give it, too"),
        ({"max_degree": 3, "touching": "head"}, "max_degree counts only with within_hops or on_paths"),
        ({"within_hops": 2, "max_degree": 0}, "max_degree must be at least 1, not 0"),
        ({"on_paths": 2, "min_degree": 5, "max_degree": 4}, "min_degree must be at most the .*, 4, not 5"),
        (
            {"mode": "self", "within_hops": 1},
            "within_hops compares training triples with test triples, and mode 'self'",
        ),
        ({"mode": "self", "on_paths": 2, "touching": "head"}, "touching and on_paths compare training triples with"),
    ],
)
def test_walks_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        RunConfig.of(**options)
