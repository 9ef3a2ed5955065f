"""`scripts/ingest_cost`: what each stage of an ingest on workers costs, carried out one after the other."""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import click
import pyarrow as pa

from tracin_dask.launch.ingest_plan import IngestPlan, plan_ingest
from tracin_dask.places.files import sha256_of
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.resources import Resources
from tracin_dask.triples import ingest_parts as tasks
from tracin_dask.triples.discover import id_maps_of
from tracin_dask.triples.entity_rows import BYTES_PER_ROW, FOLDER, shard_ranges, start_index, write_tail_rows
from tracin_dask.triples.ingest import source_of
from tracin_dask.triples.sort import SORT_BYTES_PER_ROW
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.text import TripleText, open_triples
from tracin_dask.triples.write import StoreTexts, create_rows, finish_store, start_store

OutT = TypeVar("OutT")
WORKER_BYTES = 64 << 30
"""No plan is cut down to a worker's memory."""


@click.command(context_settings={"show_default": True})
@click.argument("text", type=click.Path(path_type=Path, exists=True))
@click.option("--memory", type=click.IntRange(min=1), default=1 << 30, help="Bytes for sorting, as of `ingest`.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Cut rows for so many workers.")
def command(text: Path, memory: int, workers: int) -> None:
    """Carry out all tasks of an ingest of TEXT on one thread, and print the CPU seconds of each stage."""
    pa.set_cpu_count(1)
    with tempfile.TemporaryDirectory() as name:
        costs = measure(text, place_of(name), Resources(num_workers=workers, memory_bytes=WORKER_BYTES), memory)
    for stage, seconds in costs.items():
        click.echo(f"{stage:<40} {seconds:>10.3f}")


def measure(path: Path, folder: Place, resources: Resources, memory: int) -> dict[str, float]:
    """Carry out the tasks, and give the CPU seconds of each stage."""
    clock = Clock()
    text = open_triples(path)
    plan = plan_ingest(text, resources, memory)
    found = clock("reading labels", lambda: [tasks.find_in_part(part) for part in plan.parts])
    joined = clock("joining labels (few workers)", lambda: tasks.join_found(found))
    entities, relations = clock("sorting labels (one process)", lambda: id_maps_of(text, joined))
    _write(clock, text, plan, StoreTexts(entities=entities, relations=relations), folder)
    return clock.seconds


def _write(clock: "Clock", text: TripleText, plan: IngestPlan, texts: StoreTexts, folder: Place) -> None:
    store, scratch = folder / "graph.zarr", folder / "scratch"
    scratch.make_folder()
    group = clock("writing labels (one process)", lambda: start_store(store, texts))
    how = (texts, scratch, plan.max_rows, plan.sample_rows)
    parts = clock("reading and sorting triples", lambda: [tasks.write_part_runs(part, *how) for part in plan.parts])
    reading, runs = tasks.sum_up(parts), clock("joining samples (one worker)", lambda: tasks.join_runs(parts, how[-1]))
    number = reading.num_triples
    create_rows(group, number, texts)
    most = plan.rows_of_task(number, SORT_BYTES_PER_ROW, plan.further_rows(reading.num_runs))
    for rows in shard_ranges(number, most):
        clock("writing rows", partial(tasks.write_sorted, runs, texts.key_layout, store, *rows))
    tallied = clock("counting and hashing rows (one worker)", lambda: tasks.tally_rows(store, texts, number))
    sha256 = clock("hashing the text (one worker)", lambda: sha256_of(text.path))
    info = finish_store(group, texts, tallied, source=source_of(text, sha256), skipped={})
    index, written = store / FOLDER, TripleStore(path=str(store), info=info)
    start_index(index, tallied.heads, tallied.tails)
    for rows in shard_ranges(number, plan.rows_of_task(number, BYTES_PER_ROW)):
        clock("indexing tails", partial(write_tail_rows, index, written, *rows))


class Clock:
    """Adds up the CPU seconds of stages by their names."""

    def __init__(self) -> None:
        """Start with no stage."""
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, function: Callable[[], OutT]) -> OutT:
        """Call a function, and give what it gives."""
        started = time.process_time()
        outcome = function()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - started
        return outcome


if __name__ == "__main__":
    command()
