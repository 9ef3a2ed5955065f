"""Carries out `tracin-dask run`: prepares, runs, writes and shows the result."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from tracin_dask.cli.actions.dashboard import dashboard_lines
from tracin_dask.cli.actions.finished import earlier_answers, finished_run, for_others, replaces_its_own
from tracin_dask.cli.actions.inputs import cache_of
from tracin_dask.cli.actions.job import prepared_run
from tracin_dask.cli.actions.outputs import Outputs
from tracin_dask.cli.actions.performance_report import performance_report
from tracin_dask.cli.actions.speed import record_speed
from tracin_dask.cli.actions.workers import worker_options
from tracin_dask.cli.options.run import RunFlags
from tracin_dask.cli.say import say, say_written
from tracin_dask.cli.stopping import keeping
from tracin_dask.cli.terminal import bars, has_bars, show, show_sentences
from tracin_dask.clusters.cluster import Cluster
from tracin_dask.clusters.parse import parse_cluster
from tracin_dask.influence.precision import PrecisionName
from tracin_dask.launch.place import open_place
from tracin_dask.monitor.progress_bar import run_progress
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of
from tracin_dask.report.extend import extended
from tracin_dask.report.folder import SUMMARY
from tracin_dask.report.prediction_words import predicted
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.screen import (
    answer_tables,
    answer_word,
    audited,
    ranked,
    scored,
    specific,
    why_nothing_is_ranked,
)
from tracin_dask.runs.execute.allocator import keep_freed_memory
from tracin_dask.runs.execute.driver import Execution, carry_out
from tracin_dask.runs.identity import result_identity
from tracin_dask.runs.sinks import records
from tracin_dask.runs.sinks.saved_scores import locked, scores_of

TABLE_ROWS = 10
tell = partial(say, err=True)
_WRITTEN = {
    "absolute": "{} training triples with the largest |influence|; --rank-by proponents or opponents for one side",
    "proponents": "{} strongest proponents",
    "opponents": "{} strongest opponents",
}


def explain(options: RunFlags) -> None:
    """Find the training triples that the options ask for, write them and show the largest.

    Raises
    ------
    TracInDaskError
        If something does not fit together, or cannot be run or written.
    """
    cluster = parse_cluster(options["cluster"])
    output = Outputs(
        files=options["output"],
        folder=options["output_dir"],
        save_groups=options["save_groups"],
        performance_report=options["performance_report"],
        overwrite=options["overwrite"],
    )
    output.check(has_groups=bool(options["group_by"]), has_ranks=options["rank_of"] is not None)
    written: list[AnyPath] = []
    with output.reserved(), keeping(partial(_what_is_kept, output, written)):
        _explain(options, cluster, output, written)


def _explain(options: RunFlags, cluster: Cluster, output: Outputs, written: list[AnyPath]) -> None:
    """Prepare, run, write and show, while no other command writes the outputs; list what is written at once."""
    prepared = prepared_run(options)
    output.refuse_many(prepared.num_answers)
    identity = result_identity(prepared)
    found = None if options["restart"] else finished_run(output, identity)
    if found is not None:
        _show(found.result, found.written, asked=prepared.config.computing.precision, found=found.found)
        return
    earlier = earlier_answers(output, prepared, identity, is_restart=options["restart"])
    triples = prepared.test_triples
    if earlier is not None:
        prepared, output = for_others(prepared, earlier), replace(output, overwrite=True)
        tell(f"{len(earlier.rankings):,} test triples are answered already; this run is about {prepared.num_answers:,}")
    elif replaces_its_own(output, identity):
        output = replace(output, overwrite=True)
    scores = scores_of(prepared)
    if scores is not None:
        with locked(scores):  # refuses at once what another run writes
            pass
        say(f"scores: {scores}", err=True)
    is_resumed = output.records is not None and not options["restart"] and not records.is_empty(output.records)
    with (
        open_place(prepared, cluster, worker_options(options), say=tell) as place,
        run_progress(is_resumed=is_resumed, say=tell, bars=bars if has_bars() else None) as progress,
    ):
        plan, client = place.plan, place.client
        mib = plan.memory.total / 2**20
        tell(f"running in {place.where}: {plan.num_tasks:,} task(s), about {mib:,.0f} MiB per worker")
        if client is not None:
            tell("\n".join(dashboard_lines(client.dashboard_link, os.environ)))
        else:
            keep_freed_memory()  # of the command's own process
        execution = Execution(
            resources=plan.resources,
            record_directory=output.records,
            restart=options["restart"],
            progress=progress,
            workers_return=place.workers_return,
        )
        with performance_report(output.performance_report, client) as report:
            new = carry_out(prepared, plan, client=client, execution=execution)
        result = new if earlier is None or triples is None else extended(earlier, new, triples, identity)
        written.extend(output.write(result))  # before workers are closed: the result is safe whatever happens then
        if place.is_here:
            record_speed(cache_of(options), prepared, plan, new)
        if output.records is not None and not records.discard(output.records):
            tell(f"{output.records} stays: it has files that no run wrote")
    _show(result, written, asked=prepared.config.computing.precision)
    report.write()
    if output.save_groups is not None:
        say_written(output.save_groups, "the totals of all groups")
    if (
        plan.resources.device_bytes is not None
        and prepared.config.computing.device == "auto"
        and result.run["device"] == "cpu"
    ):
        say("workers have GPUs but computed on CPUs: their PyTorch has no CUDA; install a PyTorch with CUDA")


def _what_is_kept(output: Outputs, written: Sequence[AnyPath]) -> str:
    """Say what the same command finds after an interruption."""
    return f"the result is complete: {', '.join(map(str, written))}" if written else output.what_is_kept()


def _show(
    result: InfluenceResult, written: Sequence[AnyPath], *, asked: PrecisionName, found: Sequence[AnyPath] = ()
) -> None:
    """Print the table of a single ranking, what was done, and where the result is, or was `found`."""
    if len(result.rankings) == 1:
        show(answer_tables(result, rows=TABLE_ROWS))
    show_sentences(scored(result), *predicted(result), *ranked(result), *specific(result), *audited(result))
    if asked in {"mixed", "bf16"} and result.run["precision"] == "float32":
        say("products were made in float32: this CPU has no bf16 units, and rounding alone saves no time")
    cancelled = result.run["statistics"]["cancelled_influences"]
    if cancelled:
        say(
            f"{cancelled:,} influences count as 0: they would be rounding errors divided by rounding errors, because "
            "gradients that are added cancel; --precision float64 may tell them"
        )
    halvings = result.run["statistics"]["batch_halvings"]
    if halvings:
        say(
            f"GPU out of memory at {result.run['batch_size']:,} training triples per batch: scored in pieces "
            f"(halved {halvings} time(s)); a smaller --batch-size avoids that"
        )
    resumed = result.run["statistics"]["resumed_rows"]
    if resumed and not found:
        say(f"{resumed:,} training triples were recorded by an earlier, interrupted run")
    if found:
        say(f"nothing to compute: the result of this command is of {result.run['started']}")
    for path in found:
        say_written(path, _what_is_written(result, path), verb="found")
    for path in written:
        say_written(path, _what_is_written(result, path))
    if "saved_scores" in result.run:
        verb = "found" if found else "wrote"
        say_written(result.run["saved_scores"], "all influences, in the order of the store's rows", verb=verb)


def _what_is_written(result: InfluenceResult, path: AnyPath) -> str:
    """Say what a file holds; a list is shorter than --top-k if no more influences have its sign."""
    written = _WRITTEN[result.run["rank_by"]]
    if "top_k_per" in result.run:
        written = f"{written.partition(';')[0]}, up to {result.top_k} of each {result.run['top_k_per']}"
    if len(result.rankings) > 1:
        is_folder = place_of(path).name == SUMMARY
        what = answer_word(result)
        where = f"one file per {what} in the same folder, each with" if is_folder else f"of each {what}"
        lengths = {*map(len, result.rankings)}
        number = f"the {max(lengths)}" if len(lengths) == 1 else f"up to {max(lengths)}"
        return f"{where} {written.format(number)}"
    found = len(result.rankings[0])
    if found == 0:
        none_left = result.num_ranked is not None and result.num_ranked[0] == 0
        why = why_nothing_is_ranked(result) if none_left else "no influence has this sign"
        return f"an empty list: {why}"
    if result.test_triples is None:
        return f"the {found} training triples with the largest self-influence"
    return written.format(f"the {found}")
