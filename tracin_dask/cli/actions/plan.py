"""Carries out `tracin-dask plan`: prints how long a run takes and how much memory, and in a table why."""

from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from tracin_dask.cli.actions.inputs import cache_of
from tracin_dask.cli.actions.job import prepared_run
from tracin_dask.cli.actions.speed import Speed, recorded_speed
from tracin_dask.cli.actions.workers import worker_options
from tracin_dask.cli.options.job import JobFlags
from tracin_dask.cli.say import say
from tracin_dask.cli.terminal import show, show_sentences
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.influence.preconditioners.registry import name_of
from tracin_dask.influence.reductions import group_totals
from tracin_dask.launch.place import Place, plan_only
from tracin_dask.runs.inputs.masks.chosen import about_masks
from tracin_dask.runs.plan.plan import Plan
from tracin_dask.runs.predictions.choice import RankChoice
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.sinks import score_writer
from tracin_dask.runs.sinks.saved_scores import check_place, scores_of

_NORMALIZED = {
    "cosine": "by the lengths of both gradients (cosine); each training triple's own gradient is counted below",
    "relatif": "by the training triples' lengths (relatif); each one's own gradient is counted below",
}
_PRECONDITIONED = "as large as the tracked tensors; its products are counted below"


def show_plan(options: JobFlags, *, is_verbose: bool) -> None:
    """Print what a run with these options would take; with `is_verbose`, how that is made up.

    Raises
    ------
    TracInDaskError
        If something does not fit together, or does not fit into the memory.
    """
    cluster = parse_cluster(options["cluster"])
    prepared = prepared_run(options)
    scores = scores_of(prepared)
    if scores is not None:
        check_place(scores)
    place = plan_only(prepared, cluster, worker_options(options))
    speed = recorded_speed(cache_of(options), prepared, place.plan) if place.is_here else None
    show_sentences(*in_short(prepared, place, speed), *([] if scores is None else [f"saved scores: {scores}"]))
    if is_verbose:
        show(plan_table(prepared, place.plan, place.where))
    else:
        say("--verbose prints the rest: tasks, engine, the parts of the memory, multiply-adds")


def in_short(prepared: PreparedRun, place: Place, speed: Speed | None) -> tuple[str, str]:
    """Say about how long a run takes, and how much memory a worker."""
    plan, mib = place.plan, 2**20
    seconds = plan.worker_seconds / plan.resources.num_workers
    how = "by the built-in cost model: no run of this kind is recorded on this machine"
    if speed is not None:
        seconds *= speed.factor
        how = f"at the measured speed of the last run of this kind on this machine ({speed.measured})"
    elif not place.is_here:
        how = "by the built-in cost model"
    seconds += _rank_seconds(prepared)
    total, limit = (f"{size / mib:,.0f} MiB" for size in (plan.memory.total, plan.resources.memory_bytes))
    memory = f"memory per worker: about {total} of {limit}"
    return (
        f"time: about {in_words(seconds)} in {place.where}, {how}",
        f"{memory}{_of_device(plan, '; of its GPU ')}",
    )


def _of_device(plan: Plan, start: str = "") -> str:
    """Say how much memory of a GPU the plan takes; nothing where none computes."""
    device = plan.resources.device_bytes
    if not plan.memory.has_device or device is None:
        return ""
    return f"{start}about {plan.memory.on_device / 2**20:,.0f} MiB of {device / 2**20:,.0f} MiB"


def in_words(seconds: float) -> str:
    """Write a time that is known roughly."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:,.1f} h"


def _rank_seconds(prepared: PreparedRun) -> float:
    """Give the seconds for the ranks of the test triples that are computed."""
    if prepared.test_triples is None:
        return 0.0
    choice = RankChoice(prepared)
    ends = ((choice.why_no_tails, choice.tail_seconds), (choice.why_no_heads, choice.head_seconds))
    return sum(seconds for why, seconds in ends if not why)


def plan_table(prepared: PreparedRun, plan: Plan, where: str) -> Table:
    """Show a plan."""
    mib = 2**20
    memory, counted = plan.memory, plan.multiply_adds
    limit = plan.resources.memory_bytes / mib
    table = Table(show_header=False, box=None)
    tests = "themselves (self-influence)"
    if prepared.test_triples is not None:
        num_tests = len(prepared.test_triples)
        tests = "1 test triple" if num_tests == 1 else f"{num_tests:,} test triples"
    number = plan.num_checkpoints
    of_all = "" if number == 1 else f", of all {number} checkpoints"
    divided = (
        {}
        if prepared.config.scoring.normalize == "none"
        else {"normalized": _NORMALIZED[prepared.config.scoring.normalize]}
    )
    way = name_of(prepared.config.scoring.preconditioner)
    preconditioned = {} if way == "none" else {"preconditioner": f"{way}, {_PRECONDITIONED}"}
    summed = {} if number == 1 else {"checkpoints": f"{number}, over which influences are summed"}
    if plan.num_scored < plan.num_triples:
        tests += f"; at most {plan.num_scored:,} touch them, and the others have no influence"
    scoring = prepared.config.scoring
    if scoring.curvature != "none":
        preconditioned = {"curvature": f"{scoring.curvature}, damping {scoring.settled_damping:g}"}
    rows = {
        "what": f"{plan.num_triples:,} training triples on {tests}",
        **summed,
        **divided,
        **preconditioned,
        "tracked": f"{len(prepared.tracked)} parameter tensors: {', '.join(sorted(prepared.tracked))}",
        "where": where,
        "engine": str(plan.modes),
        "tasks": f"{plan.num_tasks:,} of {plan.task_rows:,} triples, in batches of {plan.batch_size:,}",
        "memory per worker": f"about {memory.total / mib:,.0f} MiB of {limit:,.0f} MiB",
        "  process": f"{memory.process / mib:,.0f} MiB",
        "  model": f"{memory.model / mib:,.0f} MiB{of_all}",
        "  test triples": f"{memory.test_triples / mib:,.0f} MiB",
        "  batch": f"{memory.batch / mib:,.0f} MiB{', on the GPU' if memory.has_device else ''}",
        "  rows read": f"{memory.rows / mib:,.0f} MiB",
        **({"  audit": f"{memory.audit / mib:,.0f} MiB, when all rows are scored"} if memory.audit else {}),
        **({"  scores and ranks": f"{memory.predictions / mib:,.0f} MiB, after that"} if memory.predictions else {}),
        **{f"  {kept.what}": f"{kept.total / mib:,.0f} MiB" for kept in memory.kept.values()},
        **({"memory of its GPU": _of_device(plan)} if memory.has_device else {}),
        "multiply-adds": f"{counted.total:.3g}{of_all}",
        **{f"  {stage}": f"{count:.3g}, {plan.stages[stage]}" for stage, count in counted.by_stage.items()},
    }
    rows |= _predicted_rows(prepared)
    rows |= _ranked_rows(prepared, plan)
    if prepared.groupings:
        counted_groups = ", ".join(f"{grouping.num_groups:,} by {grouping.name}" for grouping in prepared.groupings)
        size = memory.kept[group_totals.NAME].total / mib
        rows["groups"] = f"{counted_groups}; adding up takes {size:,.0f} MiB of the memory"
    scores = scores_of(prepared)
    if scores is not None:
        rows["saved scores"] = (
            f"{scores}; writing takes {memory.kept[score_writer.NAME].total / mib:,.0f} MiB of the memory"
        )
    for name, value in rows.items():
        table.add_row(Text(name), Text(value))
    return table


def _predicted_rows(prepared: PreparedRun) -> dict[str, str]:
    """Say which ranks of the test triples are computed, in which time."""
    if prepared.test_triples is None:
        return {}
    choice = RankChoice(prepared)
    ends = {"tails": (choice.why_no_tails, choice.tail_seconds), "heads": (choice.why_no_heads, choice.head_seconds)}
    return {
        f"ranks of {end}": f"no: {why}" if why else f"about {max(1, round(seconds)):,} s of one CPU thread"
        for end, (why, seconds) in ends.items()
    }


def _ranked_rows(prepared: PreparedRun, plan: Plan) -> dict[str, str]:
    """Say which training triples are ranked, and whose ranks are found, where that is asked."""
    rows = {}
    masks = about_masks(prepared.store, prepared.config.masking)
    if masks:
        rows["ranked"] = f"not all training triples: {', '.join(_in_words(*one) for one in masks.items())}"
    if prepared.listed is not None:
        batches = len(np.unique(prepared.listed.rows // plan.batch_size))
        rows["exact ranks"] = f"of {len(prepared.listed):,} training triples; {batches:,} batch(es) are scored twice"
    return rows


def _in_words(name: str, value: Any) -> str:  # noqa: ANN401 - every mask has settings of its own
    """Say what a mask does, as its option says it."""
    option = f"--{name.replace('_', '-')}"
    if name == "candidates":
        return f"{option} ({value['num_training_triples']:,})"
    return option if value is True else f"{option} {' '.join(value) if name.endswith('relations') else value}"
