"""Dask's performance report of a run: recorded while workers score, written after the result.

The page works without network: Bokeh is in it.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracin_dask.cli.say import say
from tracin_dask.errors import ConfigError
from tracin_dask.places.explained import writing
from tracin_dask.places.files import write_bytes
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from distributed import Client


_ICON = re.compile(rb'<link rel="shortcut icon"[^>]*>')
"""Which Dask loads from its own site."""


@dataclass(slots=True)
class PerformanceReport:
    """The report's page, once the block of `performance_report` has ended."""

    place: Place | None
    page: bytes = b""

    def write(self) -> None:
        """Write the page, if one was asked for.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        if self.place is not None and self.page:
            with writing(self.place, "the performance report", kept=lambda: "the result is written"):
                write_bytes(self.place, self.page)


@contextmanager
def performance_report(place: Place | None, client: "Client | None") -> Iterator[PerformanceReport]:
    """Record Dask's performance report of the block, if there is a place for it and the block succeeds.

    Raises
    ------
    ConfigError
        If there are no workers.
    """
    report = PerformanceReport(place)
    if place is None:
        yield report
        return
    if client is None:
        raise ConfigError("--performance-report needs workers, and this run has none: give --cluster local")
    import distributed  # noqa: PLC0415 - distributed is slow to import

    with tempfile.TemporaryDirectory(prefix="tracin-dask-") as folder:
        page = Path(folder) / "report.html"
        with client.as_current():
            recorded = distributed.performance_report(filename=str(page), mode="inline")
            recorded.__enter__()
            yield report  # if that fails, the cluster may be gone: no report
            try:
                recorded.__exit__(None, None, None)
                report.page = _without_icon(page.read_bytes())
            except Exception as error:  # noqa: BLE001 - whatever Dask raises, the result of the block is there
                say(f"there is no performance report: {error}", err=True, even_if_quiet=True)


def _without_icon(page: bytes) -> bytes:
    return _ICON.sub(b'<link rel="icon" href="data:,">', page)
