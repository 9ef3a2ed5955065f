"""The k best proponents and opponents of each relation, for each test triple, so that none fills a list."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tracin_dask.identity import Json
from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.base import Arrays, Held, Needs, Sizes, Start
from tracin_dask.influence.reductions.stream_by_device import IndexOnDevice, StreamByDevice
from tracin_dask.influence.reductions.topk import TopK
from tracin_dask.influence.reductions.topk_per_relation_on_device import (
    DeviceRelationTopKStream,
    device_bytes,
    index_blocks,
)
from tracin_dask.influence.reductions.topk_per_relation_on_host import PAIR_BYTES, RelationTopKStream


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationTopKReduction:
    """Keeps the best `k` proponents and opponents of each relation, for each test triple; it stands for the top k."""

    k: int
    num_relations: int
    skips_zeros: bool = False
    """Whether training triples without any influence stay out of the lists, which are shorter then."""

    @property
    def name(self) -> str:
        """The name of the outcome: that of the list that it takes the place of."""
        return topk.NAME

    @property
    def identity(self) -> Json:
        """What the outcome depends on."""
        return [self.k, "per relation", *(["without zeros"] if self.skips_zeros else [])]

    @property
    def needs(self) -> Needs:
        """Only what is ranked; and what other rows surpass need not be returned."""
        index = partial(index_blocks, num_relations=self.num_relations, k=self.k)
        return Needs(ranked=True, seen=True, zeros=not self.skips_zeros, index=IndexOnDevice(index=index))

    def held(self, sizes: Sizes) -> Held:
        """Count best and waiting entries of every list, and what lies next to a batch."""
        num_lists, pairs = self.num_relations * sizes.num_columns, sizes.batch_size * sizes.num_columns
        return Held(
            stream=topk.top_k_bytes(self.k, num_lists) + 2 * 8 * num_lists + PAIR_BYTES * pairs,
            on_device=device_bytes(self.k, self.num_relations, sizes),
            what="the top k of every relation",
            remedy="a smaller --top-k",
        )

    def start(self, given: Start[TopK]) -> StreamByDevice[TopK]:
        """Start on the rows of a task."""
        seen = given.seen or topk.empty(self.k, self.num_relations)
        on_host, on_device = (
            partial(stream, seen, given.num_columns, skips_zeros=self.skips_zeros)
            for stream in (RelationTopKStream, DeviceRelationTopKStream)
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
