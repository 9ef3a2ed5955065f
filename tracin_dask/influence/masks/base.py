"""Which training triples are ranked: the protocol of a mask, and several of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.identity import Json
from tracin_dask.influence.columns import Targets
from tracin_dask.influence.cost import MaskSizes


@runtime_checkable
class Mask(Protocol):
    """Leaves training triples out of rankings: a small frozen value that travels to the workers.

    A mask may look at the training triples alone, at pairs with what is explained, or at both.
    """

    @property
    def name(self) -> str:
        """The name of the mask in results and messages."""
        ...

    @property
    def identity(self) -> Json:
        """What tells it from other masks of its name: another value means another run."""
        ...

    @property
    def num_bytes(self) -> int:
        """The bytes that it holds in a worker."""
        ...

    def rows(self, triples: Int[ndarray, "row 3"], train_index: Int[ndarray, " row"]) -> Bool[ndarray, " row"] | None:
        """Tell which training triples are ranked; None for all of them."""
        ...

    def pairs(
        self, triples: Int[ndarray, "row 3"], train_index: Int[ndarray, " row"], targets: Targets
    ) -> Bool[ndarray, "row answer"] | None:
        """Tell which training triples are ranked for each answer; None for all. Self-influence never asks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Which of some training triples are ranked."""

    rows: Bool[ndarray, " row"] | None = None
    """None for all."""
    pairs: Bool[ndarray, "row answer"] | None = None
    """Of the ranked rows; None for all."""

    @property
    def is_empty(self) -> bool:
        """Whether no pair is ranked."""
        return self.rows is not None and not self.rows.any()

    def take(self, chosen: slice | Int[ndarray, " some"]) -> "Ranked":
        """Choose some of the training triples."""
        return Ranked(
            rows=None if self.rows is None else self.rows[chosen],
            pairs=None if self.pairs is None else self.pairs[chosen],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """All masks of a run: a pair is ranked if every mask leaves it."""

    masks: tuple[Mask, ...] = ()
    targets: Targets | None = None
    """What is explained; None for self-influence."""

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self.masks)

    @property
    def identity(self) -> Json:
        """What tells them from other masks."""
        return {mask.name: mask.identity for mask in self.masks}

    @property
    def sizes(self) -> MaskSizes | None:
        """What they take; None if there are none."""
        if not self.masks:
            return None
        nothing = (np.empty((0, 3), np.int64), np.empty(0, np.int64))
        by_pair = self.targets is not None and self._pairs(*nothing, self.targets) is not None
        return MaskSizes(num_bytes=sum(mask.num_bytes for mask in self.masks), by_pair=by_pair)

    def ranked(self, triples: Int[ndarray, "row 3"], train_index: Int[ndarray, " row"]) -> Ranked:
        """Tell which training triples are ranked."""
        rows = _all_of([mask.rows(triples, train_index) for mask in self.masks])
        if self.targets is None or (rows is not None and not rows.any()):
            return Ranked(rows=rows)
        pairs = self._pairs(triples, train_index, self.targets)
        if pairs is None:
            return Ranked(rows=rows)
        some = pairs.any(axis=1) if rows is None else rows & pairs.any(axis=1)
        return Ranked(rows=np.asarray(some), pairs=pairs)

    def _pairs(
        self, triples: Int[ndarray, "row 3"], train_index: Int[ndarray, " row"], targets: Targets
    ) -> Bool[ndarray, "row answer"] | None:
        return _all_of([mask.pairs(triples, train_index, targets) for mask in self.masks])


def any_member(found: Bool[ndarray, "row test"], targets: Targets) -> Bool[ndarray, "row answer"]:
    """From what holds of each test triple to what holds of any test triple of an answer."""
    if targets.answers is None:
        return found
    together = np.zeros((len(found), targets.num_answers), dtype=bool)
    for test, answer in enumerate(targets.answers.tolist()):
        together[:, answer] |= found[:, test]
    return together


def _all_of(found: Sequence[ndarray | None]) -> ndarray | None:
    """Tell what all of them leave."""
    stated = [one for one in found if one is not None]
    return np.logical_and.reduce(stated) if stated else None
