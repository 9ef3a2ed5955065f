"""Ingests a text on the workers of a cluster: its parts are read and sorted, and the store is written, by all of them.

The store is that of one process, bit for bit, whatever the workers and the parts: ids follow from all labels, rows are
sorted by key and line, and no two tasks write one shard.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tracin_dask.clusters.auto import Auto
from tracin_dask.clusters.cluster import Cluster, Start
from tracin_dask.errors import ClusterError, ConfigError, TriplesError
from tracin_dask.launch.ingest_plan import IngestPlan, plan_ingest
from tracin_dask.launch.tasks import Tasks
from tracin_dask.monitor.watch import Watch
from tracin_dask.patience import Patience
from tracin_dask.places.files import sha256_of, write_bytes
from tracin_dask.places.part import delete_cut_off_files
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.scratch import shared_scratch
from tracin_dask.places.stream import Stream, input_place
from tracin_dask.resources import Resources, WorkerOptions, ask, this_machine
from tracin_dask.triples.discover import Found, id_maps_of
from tracin_dask.triples.entity_rows import (
    BYTES_PER_ROW,
    FOLDER,
    finish_index,
    shard_ranges,
    start_index,
    write_tail_rows,
)
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.ingest import ROW_BYTES, IngestOptions, Meter, ingest, refuse_unusable, source_of
from tracin_dask.triples.ingest_parts import (
    Lines,
    find_in_part,
    join_found,
    join_runs,
    read_maps,
    sum_up,
    tally_rows,
    why_unusable,
    write_part_runs,
    write_sorted,
)
from tracin_dask.triples.sort import SORT_BYTES_PER_ROW
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.tally import Tallied
from tracin_dask.triples.text import TripleText
from tracin_dask.triples.write import StoreTexts, create_rows, finish_store, start_store

if TYPE_CHECKING:
    from distributed import Future

TASKS = "tracin_dask.triples.ingest_parts"
"""The module whose functions tasks call. Workers import it at their start, so that no task waits for it."""
_REMEDY = "no store was left behind; ingest again, perhaps with less --memory, or with more memory for each worker"
_FAN_IN = 8
"""What was found in so many parts is joined by one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPlace:
    """The workers of an ingest, and the folder that they share."""

    cluster: Cluster
    workers: WorkerOptions = field(default_factory=WorkerOptions)
    scratch: Place | None = None
    """Where a folder for sorted rows is made, which all workers see; None for the unfinished store itself."""


def ingest_on(
    where: IngestPlace,
    train: AnyPath,
    output: AnyPath,
    *,
    entity_to_id: AnyPath | None = None,
    relation_to_id: AnyPath | None = None,
    options: IngestOptions | None = None,
) -> TripleStore:
    """Ingest as `ingest`, on workers, into the same store bit for bit.

    All workers must see the text, the folder of the store and that of the sorted rows by the same paths.
    `IngestOptions.memory_bytes` is for each worker.

    Raises
    ------
    TriplesError, StoreError
        As `ingest`.
    ClusterError
        If the cluster cannot be started or is lost, or a worker does not see a file.
    ConfigError
        If the text is a pipe.
    """
    text = input_place(train)
    if isinstance(text, Stream):  # a place like others, but of this process alone
        raise ConfigError(f"{text} can be read by this process only; write it to a file that all workers see")
    chosen = Auto().choice(this_machine(), wants_cpus=True) if where.cluster == Auto() else where.cluster
    expected = chosen.expected_resources(where.workers, this_machine())
    options = options or IngestOptions()
    options.say(f"waiting for workers on {chosen.title}")
    with chosen.open(Start(resources=expected[0] if expected else None, preload=(TASKS,))) as opened:
        resources = where.workers.applied_to(opened.resources)
        with Watch(opened.client, Patience(), workers_return=opened.workers_return) as watch:
            tasks = Tasks(client=opened.client, watch=watch, remedy=_REMEDY)
            stages = OnWorkers(tasks, resources, where.scratch)
            maps = {"entity_to_id": entity_to_id, "relation_to_id": relation_to_id}
            return ingest(text, output, **maps, options=options, stages=stages)


class OnWorkers:
    """Carries out the stages of an ingest on workers."""

    def __init__(self, tasks: Tasks, resources: Resources, scratch: Place | None) -> None:
        """Take the workers, their sizes, and the folder for sorted rows."""
        self._tasks, self._resources, self._scratch = tasks, resources, scratch
        self._plan: IngestPlan | None = None

    def id_maps(self, text: TripleText, options: IngestOptions) -> tuple[IdMap, IdMap]:
        """Let the workers look for labels, part by part, and join what they found."""
        plan = self._planned(text, options)
        self._look(plan, None)
        found = [self._tasks.submit(find_in_part, part) for part in plan.parts]
        lines = [self._tasks.submit(Lines.of, one, first=True) for one in found]
        joined = self._joined(found)
        found.clear()  # each is kept until it is joined
        self._wait(plan, lines, Meter(options.progress, "reading labels", plan.num_bytes))
        labels: Found = self._tasks.result(joined)
        text.format.refuse_other_count(labels.num_lines)
        return id_maps_of(text, labels)

    def fill(self, part: Place, text: TripleText, texts: StoreTexts, options: IngestOptions) -> None:
        """Let the workers read and sort, write ranges of rows, and index them; this process writes the rest."""
        plan, store = self._planned(text, options), part.absolute()
        sha256 = self._tasks.submit(sha256_of, text.path.absolute())
        group = start_store(part, texts)
        maps = self._tasks.submit(read_maps, store, len(texts.entities), len(texts.relations))
        folder = part / "sort" if self._scratch is None else self._scratch / f"{part.name}.sort"
        with shared_scratch(folder.absolute()) as scratch:
            self._look(plan, scratch)
            how = (maps, scratch, plan.max_rows, plan.sample_rows)
            futures = [self._tasks.submit(write_part_runs, one, *how) for one in plan.parts]
            runs = self._wait(plan, futures, Meter(options.progress, "reading triples", plan.num_bytes))
            reading = sum_up(runs)
            text.format.refuse_other_count(reading.invalid.num_lines)
            refuse_unusable(text, texts, reading.num_triples, reading.invalid, options)
            create_rows(group, reading.num_triples, texts)
            joined = self._tasks.send(join_runs(runs, plan.sample_rows))
            rows = plan.rows_of_task(reading.num_triples, SORT_BYTES_PER_ROW, plan.further_rows(reading.num_runs))
            ranges = shard_ranges(reading.num_triples, rows)
            writing = Meter(options.progress, "writing store", reading.num_triples * ROW_BYTES)
            self._in_ranges(ranges, writing, write_sorted, joined, texts.key_layout, store)
        tallied: Tallied = self._tasks.result(self._tasks.submit(tally_rows, store, maps, reading.num_triples))
        source = source_of(text, self._tasks.result(sha256))
        info = finish_store(group, texts, tallied, source=source, skipped=reading.invalid.counts)
        self._index(TripleStore(path=str(store), info=info), store / FOLDER, tallied, plan, options)
        delete_cut_off_files(part)

    def _index(
        self, store: TripleStore, folder: Place, tallied: Tallied, plan: IngestPlan, options: IngestOptions
    ) -> None:
        """Let the workers write the index entity → rows."""
        start_index(folder, tallied.heads, tallied.tails)
        ranges = shard_ranges(len(store), plan.rows_of_task(len(store), BYTES_PER_ROW))
        meter = Meter(options.progress, "indexing entities", len(store) * ROW_BYTES)
        digests = self._in_ranges(ranges, meter, write_tail_rows, folder, store)
        finish_index(folder, store, np.concatenate(digests))

    def _planned(self, text: TripleText, options: IngestOptions) -> IngestPlan:
        """Plan once, and say so before anything is read."""
        if self._plan is None:
            self._plan = plan_ingest(text, self._resources, options.memory_bytes)
            options.say(self._plan.describe())
        return self._plan

    def _look(self, plan: IngestPlan, scratch: Place | None) -> None:
        """Let every worker look whether it sees the text, and the folder for sorted rows.

        Raises
        ------
        ClusterError
            If one does not.
        """
        mark = None if scratch is None else scratch / "mark"
        if mark is not None:
            write_bytes(mark, b"")
        path = plan.parts[0].path
        for worker, why in ask(self._tasks.client, why_unusable, path, plan.num_bytes, mark).items():
            if why is not None:
                raise ClusterError(f"worker {worker} {why}; give paths on a file system that all workers share")

    def _joined(self, found: "Sequence[Future[Any]]") -> "Future[Any]":
        """Join what was found in a tree, as soon as it is there."""
        level = list(found)
        while len(level) > 1:
            cut = [level[at : at + _FAN_IN] for at in range(0, len(level), _FAN_IN)]
            level = [self._tasks.submit(join_found, some, first=True) for some in cut]
        return level[0]

    def _wait(self, plan: IngestPlan, futures: "Sequence[Future[Any]]", meter: Meter) -> list[Any]:
        """Wait for what is known of all parts, and fetch it at once: a lost worker would have to read them again.

        Raises
        ------
        TriplesError
            For the first part that cannot be read, with its line in the whole file.
        """
        place, found = {future: number for number, future in enumerate(futures)}, dict[int, Any]()
        for number, future in enumerate(self._tasks.finished(futures), start=1):
            with contextlib.suppress(TriplesError):  # raised below, for the first part
                found[place[future]] = self._tasks.fetch(future)
            meter.add(plan.num_bytes * number // len(plan.parts) - meter.done)
        for number, part in enumerate(plan.parts):
            if number not in found:
                part.refuse_here(sum(found[before].num_lines for before in range(number)))
                self._tasks.result(futures[number])
        return [found[number] for number in range(len(futures))]

    def _in_ranges(
        self, ranges: Sequence[tuple[int, int]], meter: Meter, function: Callable[..., Any], *arguments: object
    ) -> list[Any]:
        """Call a function for ranges of rows, and give what it gives in their order."""
        rows = {self._tasks.submit(function, *arguments, *each): each for each in ranges}
        found = dict[tuple[int, int], Any]()
        for future in self._tasks.finished(list(rows)):
            start, stop = rows[future]
            found[start, stop] = self._tasks.fetch(future)
            meter.add((stop - start) * ROW_BYTES)
        return [found[each] for each in ranges]
