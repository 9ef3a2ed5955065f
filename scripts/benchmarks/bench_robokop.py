"""Section robokop: the whole command, as its users start it, on a synthetic graph of ROBOKOP's size.

The command chooses its own workers and threads on the given device. Memory is that of the client and all workers
together.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.commands import ingest_synthetic, ingested, stated_seconds
from benchmarks.figures import Collector
from benchmarks.processes import Measured, run_measured, tracin_dask
from benchmarks.settings import Device, Settings
from benchmarks.workloads import SyntheticGraph

TOP_K = "100"
MOST_ROUNDS = 3
BYTES_PER_GB = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way to start the command: with all test triples or the first, with which further options."""

    name: str
    is_single: bool
    options: tuple[str, ...] = ()

    def title(self, num_tests: int) -> str:
        """Say which run it is."""
        return ", ".join([f"T = {1 if self.is_single else num_tests}", *self.options])

    def command(self, graph: SyntheticGraph, store: Path, output: Path, device: Device) -> list[str]:
        """Give the command line; `output` is a folder."""
        tests = ["--test", graph.file("test.txt"), "--output-dir", output]
        if self.is_single:
            tests = ["--test-triple", *graph.first_test(), "--output", output / "why.json"]
        model = ("--model-path", graph.file("model.pt"), "--device", device)
        return tracin_dask("run", *model, "--train", store, "--top-k", TOP_K, *tests, *self.options)

    def result(self, output: Path) -> Path:
        """Name the file that states how the run went."""
        return output / ("why.json" if self.is_single else "summary.json")


KINDS = (
    Kind(name="t750", is_single=False),
    Kind(name="t750_mixed", is_single=False, options=("--use-mixed-precision",)),
    Kind(name="t1", is_single=True),
)


def measure_ingest(
    benchmark: BenchmarkFixture, collect: Collector, synthetic: SyntheticGraph, settings: Settings
) -> None:
    """Turn the labelled text into a store."""
    command = ingest_synthetic(synthetic, settings.scratch / "measured.zarr")
    rounds: list[Measured] = []
    benchmark.pedantic(lambda: rounds.append(run_measured(command)), rounds=_rounds(settings))
    _add_rounds(collect, "robokop.ingest", "ingest", rounds)
    collect.facts["rows"] = synthetic.num_triples


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def measure_run(
    benchmark: BenchmarkFixture, collect: Collector, synthetic: SyntheticGraph, settings: Settings, kind: Kind
) -> None:
    """Run the command, from reading the checkpoint to the written result."""
    output = settings.scratch / "robokop" / kind.name
    command = kind.command(synthetic, ingested(synthetic, settings), output, settings.device)
    rounds: list[Measured] = []
    stages: list[dict[str, float]] = []

    def run() -> None:
        rounds.append(run_measured(command))
        stages.append(stated_seconds(kind.result(output)))

    benchmark.pedantic(run, setup=lambda: shutil.rmtree(output, ignore_errors=True), rounds=_rounds(settings))
    title = kind.title(synthetic.num_tests)
    _add_rounds(collect, f"robokop.{kind.name}", title, rounds)
    for stage in stages[0]:
        values = [stated[stage] for stated in stages]
        collect.figure(f"robokop.{kind.name}.stated.{stage}", f"{title}: {stage} of the result", "s", values)
    facts = ["tracin-dask", *command[1:2], "...", "--device", settings.device, *kind.options]
    collect.facts["command"] = " ".join(facts)


def _add_rounds(collect: Collector, name: str, title: str, rounds: Sequence[Measured]) -> None:
    collect.figure(f"{name}.seconds", f"{title}: whole command", "s", [done.seconds for done in rounds])
    kind = rounds[0].memory_kind
    parts = {
        "peak": ("all processes", [done.peak_bytes for done in rounds]),
        "peak_client": ("the command's own process", [done.peak_first_bytes for done in rounds]),
        "peak_workers": ("its child processes", [done.peak_others_bytes for done in rounds]),
    }
    for part, (whose, values) in parts.items():
        if any(values):
            in_gb = [value / BYTES_PER_GB for value in values]
            collect.figure(f"{name}.{part}", f"{title}: peak memory ({kind}) of {whose}", "GB", in_gb)


def _rounds(settings: Settings) -> int:
    return min(settings.repeats, MOST_ROUNDS)
