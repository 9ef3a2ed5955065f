"""How influences are computed; all ways give the same sums."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """The ways that a run of a ConvE takes through the feature map; the cost model chooses.

    With `forward`, each distinct head, relation or pair moves its features along every test triple's gradient, and a
    training triple costs two inner products: for few test triples. Else each training triple's gradient is carried
    back and multiplied with the test triples': with `head_jacobians` through one Jacobian per head instead of row by
    row; and (head, relation) pairs of at least `long_run` rows take directions made from Jacobians. With
    `relation_table`, the region that sees only the relation is computed once per relation for all batches.

    `all_scores` says that the loss looks at the scores of all entities: each (head, relation) goes through the entity
    table, and each training triple's gradient is carried back.
    """

    forward: bool = False
    head_jacobians: bool = False
    long_run: int | None = None
    relation_table: bool = False
    all_scores: bool = False

    def __str__(self) -> str:
        """Say what is done per head, per pair, per row, and once."""
        table = ", relation table" if self.relation_table else ""
        if self.forward:
            return f"forward mode: directions per (head, relation){table}"
        ways = ["Jacobians per head" if self.head_jacobians else "backward per row"]
        if self.long_run is not None:
            ways.append(f"directions for (head, relation) of {self.long_run} rows or more")
        first = "scores of all entities per (head, relation), " if self.all_scores else ""
        return f"pair product: {first}{', '.join(ways)}{table}"
