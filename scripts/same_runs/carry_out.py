"""Carries out cases in a folder of its own, with two worker processes for those that want them."""

import shlex
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from same_runs.case import Case, Place
from same_runs.command import tracin_dask
from same_runs.findings import Findings, read_findings
from same_runs.graphs import graph_options, test_options, write_graphs
from same_runs.models import model_options

TOP_K = 20
SAME_EVERYWHERE = ("--device", "cpu", "--threads-per-worker", "1", "--memory-per-worker", "2GiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """The folder of graphs, models and outputs, and the workers once a case has asked for them."""

    folder: Path
    opened: ExitStack
    addresses: list[str] = field(default_factory=list)

    def carry_out(self, name: str, case: Case) -> Findings:
        """Carry out a case.

        Raises
        ------
        CommandError
            If the command fails.
        """
        output = self.folder / "outputs" / name
        options = shlex.split(
            case.options.format(folder=shlex.quote(str(self.folder)), output=shlex.quote(str(output)))
        )
        if "--group-by" in options:
            options += ["--save-groups", str(output / "groups.parquet")]
        tracin_dask(
            "run",
            *model_options(case.model, self.folder),
            *graph_options(case.graph, self.folder),
            *test_options(case.tests, self.folder),
            *SAME_EVERYWHERE,
            *("--top-k", str(TOP_K), "--output-dir", str(output)),
            *self._place_options(case.place),
            *options,
        )
        return read_findings(output)

    def _place_options(self, place: Place) -> list[str]:
        if place == "process":
            return ["--cluster", "auto"]
        if place == "local":
            return ["--cluster", "local", "--workers", "2"]
        if not self.addresses:
            self.addresses.append(self.opened.enter_context(_two_workers()))
        return ["--cluster", self.addresses[0]]


@contextmanager
def open_workshop() -> Iterator[Workshop]:
    """Make the folder and the graphs; remove all at the end, and stop the workers."""
    with tempfile.TemporaryDirectory(prefix="same-results-") as name, ExitStack() as opened:
        write_graphs(Path(name))
        yield Workshop(folder=Path(name), opened=opened)


@contextmanager
def _two_workers() -> Iterator[str]:
    """Start two workers on this machine; gives their scheduler's address."""
    from distributed import LocalCluster  # noqa: PLC0415 - distributed is slow to import

    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0") as cluster:
        yield cluster.scheduler_address
