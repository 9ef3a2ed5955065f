"""How each region's part of what passes through the feature map is computed; all ways give the same sums."""

from dataclasses import dataclass

from tracin_dask.influence.layout import Sees


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """The way of each region; the cost model chooses.

    A `forward` region moves its features along each test triple's gradient, once per distinct head, relation or pair;
    the others carry each training triple's gradient back. With `relation_table`, the region that sees only the relation
    is computed once per relation for all batches.
    """

    forward: frozenset[Sees] = frozenset()
    relation_table: bool = False

    def __str__(self) -> str:
        """Say which regions go forward and which back."""
        table = {Sees.RELATION} if self.relation_table else set()
        ways = {
            "forward": self.forward - table,
            "backward": set(Sees) - self.forward - table,
            "once per relation": table,
        }
        parts = [f"{way} ({', '.join(s.value for s in Sees if s in seen)})" for way, seen in ways.items() if seen]
        return "pair product: " + ", ".join(parts)
