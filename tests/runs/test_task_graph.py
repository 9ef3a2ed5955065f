"""The graph of a run: everything is scored and merged once, in few bytes, and whole groups come first."""

import pickle
from collections.abc import Iterable

import pytest

from tracin_dask.runs.execute.task_graph import TaskFunctions, task_graph
from tracin_dask.runs.plan.plan import MERGE_FAN_IN

NUM_TASKS, TASKS_PER_GROUP = 20_000, 313
MOST_BYTES_PER_TASK = 100


def score(_shared: object, rows: tuple[int, int], _group: int) -> list[tuple[int, int]]:
    return [rows]


def merge(_shared: object, parts: Iterable[list[tuple[int, int]]]) -> list[tuple[int, int]]:
    return [rows for part in parts for rows in part]


FUNCTIONS = TaskFunctions(score=score, merge=merge)


def groups_of(num_tasks: int, per_group: int, task_rows: int = 50) -> list[list[tuple[int, int]]]:
    tasks = [(at * task_rows, (at + 1) * task_rows) for at in range(num_tasks)]
    return [tasks[at : at + per_group] for at in range(0, num_tasks, per_group)]


def computed(graph, key):
    """Compute a key the slow way."""
    function, *arguments = graph[key]
    return function(*([computed(graph, k) for k in a] if isinstance(a, list) else a for a in arguments))


@pytest.mark.parametrize("per_group", [1, 2, MERGE_FAN_IN, MERGE_FAN_IN + 1, 65, 313])
def test_the_outcome_of_a_group_is_all_its_tasks_in_order(per_group):
    groups = groups_of(700, per_group)
    graph, outcomes = task_graph(groups, "shared", FUNCTIONS, "run")
    assert [computed(graph, key) for key in outcomes] == groups


def test_a_merge_takes_few_parts_and_there_are_fewer_merges_than_tasks():
    graph, _ = task_graph(groups_of(NUM_TASKS, TASKS_PER_GROUP), "shared", FUNCTIONS, "run")
    parts = [task[2] for task in graph.values() if task[0] is merge]
    assert max(map(len, parts)) == MERGE_FAN_IN
    assert len(parts) < NUM_TASKS / (MERGE_FAN_IN - 2)


def test_the_task_graph_holds_shared_data_once_and_few_bytes_per_task():
    shared = b"x" * 1_000_000
    graph, outcomes = task_graph(groups_of(NUM_TASKS, TASKS_PER_GROUP), shared, FUNCTIONS, "run")
    size = len(pickle.dumps((graph, outcomes)))
    assert size - len(shared) < MOST_BYTES_PER_TASK * NUM_TASKS


def test_tasks_and_merges_of_earlier_groups_have_priority():
    graph, _ = task_graph(groups_of(100, 10), "shared", FUNCTIONS, "run")
    priority_of_rows = {}
    for layer in graph.layers.values():
        for _, start, _ in layer:
            assert priority_of_rows.setdefault(start, layer.annotations["priority"]) == layer.annotations["priority"]
    in_order = [priority_of_rows[start] for start in sorted(priority_of_rows)]
    assert in_order == sorted(in_order, reverse=True)
    assert len(set(in_order)) == 10


def test_two_runs_share_no_key_of_the_task_graph():
    one, other = (set(task_graph(groups_of(30, 10), "shared", FUNCTIONS, name)[0]) for name in ("one", "other"))
    assert not one & other
