"""The tasks of a run as one Dask graph: what every task shares stands in it once, by reference."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from tracin_dask.monitor.events import SCORE_TASK
from tracin_dask.runs.plan.plan import MERGE_FAN_IN, Rows

Key = tuple[str, int, int]
"""A name, and the rows that the task is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFunctions:
    """What the tasks call."""

    score: Callable[..., Any]
    """(what is shared, rows, first row of the group) -> outcome."""
    merge: Callable[..., Any]
    """(what is shared, outcomes) -> outcome."""


def task_graph(
    groups: Sequence[Sequence[Rows]], shared: object, functions: TaskFunctions, run_id: str
) -> tuple[Mapping[Any, Any], list[Key]]:
    """Make the graph of all groups, and name the outcome of each.

    Every group is a layer, and earlier ones have priority: groups are finished and recorded one after the other
    instead of all at the end.
    """
    layers, outcomes = {}, []
    for number, tasks in enumerate(groups):
        tasks_by_key, outcome = _group(tasks, shared, functions, run_id)
        name = f"group-{number}-{run_id}"
        layers[name] = MaterializedLayer(tasks_by_key, annotations={"priority": -number})
        outcomes.append(outcome)
    return HighLevelGraph(layers, {name: set() for name in layers}), outcomes


def one_task_per_worker(
    workers: Sequence[str], function: Callable[..., Any], argument: object, name: str
) -> tuple[Mapping[Any, Any], list[tuple[str, int]]]:
    """Make a graph in which every worker calls the function once, and name its tasks."""
    keys = [(name, number) for number in range(len(workers))]
    layers = {
        f"{name}-{worker}": MaterializedLayer({key: (function, argument)}, annotations={"workers": [worker]})
        for key, worker in zip(keys, workers, strict=True)
    }
    return HighLevelGraph(layers, {layer: set() for layer in layers}), keys


def _group(
    tasks: Sequence[Rows], shared: object, functions: TaskFunctions, run_id: str
) -> tuple[dict[Key, tuple[Any, ...]], Key]:
    """Score the tasks of a group and merge their outcomes in a tree."""
    group = tasks[0][0]
    level: list[Key] = [(f"{SCORE_TASK}{run_id}", *rows) for rows in tasks]
    graph: dict[Key, tuple[Any, ...]] = {
        key: (functions.score, shared, rows, group) for key, rows in zip(level, tasks, strict=True)
    }
    depth = 0
    while len(level) > 1:
        cut = [level[at : at + MERGE_FAN_IN] for at in range(0, len(level), MERGE_FAN_IN)]
        depth += 1
        level = [(f"merge-{depth}-{run_id}", part[0][1], part[-1][2]) for part in cut]
        graph |= {key: (functions.merge, shared, part) for key, part in zip(level, cut, strict=True)}
    return graph, level[0]
