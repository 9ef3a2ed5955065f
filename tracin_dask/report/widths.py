"""How columns of texts share a width: whole words first, and then few lines."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len

from tracin_dask.report.wrapping import ELLIPSIS, longest_piece, wrapped

LEAST_WIDTH = 6
MOST_LOOKED_AT = 50
"""Rows that decide on the widths; longer tables follow their first rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A column of texts."""

    heading: str
    cells: Sequence[str]
    _costs: dict[int, int] = field(default_factory=dict)

    @property
    def full_width(self) -> int:
        """What the column takes without breaking a line."""
        return max(map(cell_len, (self.heading, *self.cells)))

    @property
    def least_width(self) -> int:
        """What the column takes without breaking a word."""
        return max(cell_len(self.heading), *map(longest_piece, self.cells), LEAST_WIDTH)

    def cost(self, width: int) -> int:
        """Count the further lines of the first rows at a width; an ellipsis counts as three."""
        if width not in self._costs:
            texts = [wrapped(cell, width) for cell in self.cells[:MOST_LOOKED_AT]]
            self._costs[width] = sum(text.count("\n") + 3 * text.count(ELLIPSIS) for text in texts)
        return self._costs[width]


def shared_widths(columns: Sequence[Texts], width: int) -> list[int]:
    """Share a width between columns that do not fit into it in full."""
    found = [min(one.full_width, one.least_width) for one in columns]
    while sum(found) > width and max(found) > LEAST_WIDTH:
        found[found.index(max(found))] -= 1
    while sum(found) < width:
        place, wider = _best_step(columns, found, width - sum(found))
        found[place] = wider
    return found


def _best_step(columns: Sequence[Texts], widths: Sequence[int], left: int) -> tuple[int, int]:
    """Choose the column and its new width that save most lines for what they take; else the column that lacks most."""
    best, saved = (0, 0), 0.0
    for place, one in enumerate(columns):
        now = widths[place]
        for wider in range(now + 1, min(now + left, one.full_width) + 1):
            saves = (one.cost(now) - one.cost(wider)) / (wider - now)
            if saves > saved:
                best, saved = (place, wider), saves
    if saved > 0:
        return best
    lacking = [one.full_width / widths[place] for place, one in enumerate(columns)]
    place = lacking.index(max(lacking))
    return place, widths[place] + 1
