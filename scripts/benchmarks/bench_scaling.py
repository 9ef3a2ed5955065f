"""Section scaling: what a run costs as training triples and test triples become more.

Training triples are counted from the start of one store, whose heads are in random order, so that the first rows share
as much as the others. Every run is a process of its own; the seconds are those of its tasks, without start-up.
"""

import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.commands import shuffled
from benchmarks.figures import Collector
from benchmarks.fit import fit_line
from benchmarks.score_once import Scored, ScoreOnce, score_in_processes
from benchmarks.settings import Settings
from benchmarks.workloads import SyntheticGraph
from tracin_dask import open_store
from tracin_dask.triples.text import read_triples

MOST_ROUNDS = 3
MILLION = 10**6
FEW_TESTS, SHORT_ROUNDS = 10, 3
"""Against few test triples a run is short and feels every disturbance: it is repeated within each round."""


class Place:
    """The store of the synthetic graph, and jobs on it."""

    def __init__(self, graph: SyntheticGraph, settings: Settings) -> None:
        """Ingest the graph where no section has, and read its test triples."""
        self._settings = settings
        self._made = shuffled(graph, settings.scratch / "shuffled")
        self._store = open_store(self._made.store)
        files = ("test.txt", "valid.txt")
        held_out = [read_triples(graph.file(name), self._store.entities, self._store.relations) for name in files]
        self._tests = np.concatenate(held_out)

    def rows(self, wanted: Sequence[int]) -> list[int]:
        """Cut numbers of training triples off at the store's end."""
        return list(dict.fromkeys(min(rows, len(self._store)) for rows in wanted))

    def job(self, rows: int, num_tests: int) -> ScoreOnce:
        """Score the first rows against the first test triples; with repetitions where there are too few of them."""
        tests = self._settings.scratch / f"tests_{num_tests}.npy"
        np.save(tests, np.resize(self._tests, (num_tests, 3)))
        return ScoreOnce(
            store=str(self._made.store),
            model=str(self._made.model),
            tests=str(tests),
            rows=rows,
            threads=self._settings.threads,
        )


@pytest.fixture(scope="module")
def place(synthetic: SyntheticGraph, settings: Settings) -> Place:
    """Give the store, ingested before the clock starts."""
    return Place(synthetic, settings)


def measure_training_triples(benchmark: BenchmarkFixture, collect: Collector, place: Place, settings: Settings) -> None:
    """Score more and more training triples; fit a line; compare the memory of the smallest and the largest run."""
    sizes = settings.sizes
    found: dict[int, dict[int, list[Scored]]] = {tests: {} for tests in sizes.line_tests}

    def run() -> None:
        for num_tests, by_rows in found.items():
            for rows in place.rows(sizes.scaling_rows):
                job = place.job(rows, num_tests)
                for _ in range(SHORT_ROUNDS if num_tests < FEW_TESTS else 1):
                    by_rows.setdefault(rows, []).extend(score_in_processes([job], settings.scratch))

    benchmark.pedantic(run, rounds=min(settings.repeats, MOST_ROUNDS))
    for num_tests, by_rows in found.items():
        _add_line(collect, num_tests, by_rows, sizes.line_from)


def measure_test_triples(benchmark: BenchmarkFixture, collect: Collector, place: Place, settings: Settings) -> None:
    """Score the same training triples against more and more test triples."""
    sizes = settings.sizes
    (rows,) = place.rows([sizes.tests_rows])
    found: dict[float, list[float]] = {num_tests: [] for num_tests in sizes.scaling_tests}

    def run() -> None:
        for num_tests, seconds in found.items():
            (scored,) = score_in_processes([place.job(rows, int(num_tests))], settings.scratch)
            seconds.append(scored.task_seconds * MILLION / rows)

    benchmark.pedantic(run, rounds=min(settings.repeats, MOST_ROUNDS))
    collect.curve("test_triples", "tracin-dask, dimension 32", found)
    for num_tests, seconds in found.items():
        name = f"scaling.t{num_tests}.seconds_per_million"
        collect.figure(name, f"T = {num_tests:,}: a million training triples", "s", seconds)


def _add_line(collect: Collector, num_tests: int, by_rows: dict[int, list[Scored]], line_from: int) -> None:
    seconds = {rows: [scored.task_seconds for scored in rounds] for rows, rounds in by_rows.items()}
    collect.curve("training_triples", f"{num_tests:,} test triple{'s' * (num_tests > 1)}", {**seconds})
    fitted = [rows for rows in seconds if rows >= line_from]
    medians = [statistics.median(seconds[rows]) for rows in fitted]
    line = fit_line(fitted, medians)
    prefix, about = f"scaling.t{num_tests}", f"T = {num_tests:,}"
    span = f"{fitted[0]:,} to {fitted[-1]:,} training triples"
    collect.figure(f"{prefix}.per_million", f"{about}: a million more training triples", "s", [MILLION * line.slope])
    deviation = line.largest_deviation(fitted, medians)
    collect.figure(f"{prefix}.deviation", f"{about}: largest deviation from a line, {span}", "", [deviation])
    largest, first = (max(scored.peak_bytes for scored in by_rows[rows]) for rows in (fitted[-1], fitted[0]))
    collect.figure(f"{prefix}.memory_growth", f"{about}: peak memory, last / first of {span}", "×", [largest / first])
    collect.facts[f"t{num_tests}"] = {
        str(rows): [{"task_seconds": scored.task_seconds, "peak_bytes": scored.peak_bytes} for scored in rounds]
        for rows, rounds in by_rows.items()
    }
