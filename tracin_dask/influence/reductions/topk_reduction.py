"""The reduction to the k best proponents and opponents of each test triple, kept where influences are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tracin_dask.identity import Json
from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.base import Arrays, Held, Needs, Sizes, Start
from tracin_dask.influence.reductions.stream_by_device import IndexOnDevice, StreamByDevice
from tracin_dask.influence.reductions.topk import TopK
from tracin_dask.influence.reductions.topk_on_device import DeviceTopKStream, device_bytes, index_rows
from tracin_dask.influence.reductions.topk_on_host import TopKStream


@dataclass(frozen=True, slots=True, kw_only=True)
class TopKReduction:
    """Keeps the best `k` proponents and opponents of each test triple."""

    k: int
    skips_zeros: bool = False
    """Whether training triples without any influence stay out of the lists, which are shorter then."""

    @property
    def name(self) -> str:
        """The name of the outcome."""
        return topk.NAME

    @property
    def identity(self) -> Json:
        """What the outcome depends on."""
        return [self.k, "without zeros"] if self.skips_zeros else self.k

    @property
    def needs(self) -> Needs:
        """Only what is ranked; and what other rows surpass need not be returned."""
        return Needs(ranked=True, seen=True, zeros=not self.skips_zeros, index=IndexOnDevice(index=index_rows))

    def held(self, sizes: Sizes) -> Held:
        """Count best and waiting entries; outcomes that wait to be merged are as small."""
        return Held(
            stream=topk.top_k_bytes(self.k, sizes.num_columns),
            on_device=device_bytes(self.k, sizes),
            what="the top k",
            remedy="a smaller --top-k",
        )

    def start(self, given: Start[TopK]) -> StreamByDevice[TopK]:
        """Start on the rows of a task."""
        on_host, on_device = (
            partial(stream, self.k, given.num_columns, given.seen, skips_zeros=self.skips_zeros)
            for stream in (TopKStream, DeviceTopKStream)
        )
        return StreamByDevice(on_host=on_host, on_device=on_device)

    def merge(self, outcomes: Sequence[TopK]) -> TopK:
        """Merge TopKs of different rows."""
        return topk.merge(outcomes)

    def pack(self, outcome: TopK) -> Arrays:
        """Give each column of both sides."""
        return topk.pack(outcome)

    def unpack(self, arrays: Arrays) -> TopK:
        """Put the columns together."""
        return topk.unpack(arrays)
