"""A reduction at work in one of two ways: on the host, or on a device that is not waited for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from tracin_dask.influence import devices
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.reductions.base import Found, Outcome, RowIds, ScoredBatch, Stream


class StreamByDevice(Generic[Outcome]):
    """Chooses the stream by the device of the first influences; both give the same outcome."""

    def __init__(self, *, on_host: Callable[[], Stream[Outcome]], on_device: Callable[[], Stream[Outcome]]) -> None:
        """Start with no rows."""
        self._on_host, self._on_device = on_host, on_device
        self._chosen: Stream[Outcome] | None = None

    def add(self, batch: ScoredBatch) -> None:
        """Take in a batch."""
        if self._chosen is None:
            on_device = devices.computes_ahead(batch.influences.device)
            self._chosen = self._on_device() if on_device else self._on_host()
        self._chosen.add(batch)

    def finish(self) -> Outcome:
        """Give the outcome of all batches."""
        return (self._chosen or self._on_host()).finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOnDevice(Generic[Found]):
    """Finds out what only the stream on a device has to know of rows."""

    index: Callable[[RowIds, IndexArrays], Found]

    def __call__(self, ids: RowIds, arrays: IndexArrays) -> Found | None:
        """Find it out, if that stream is chosen."""
        return self.index(ids, arrays) if devices.computes_ahead(arrays.device) else None
