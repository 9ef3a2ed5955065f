"""The ways of computing influences with the engine for ConvE; all give the same sums."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """The ways through the feature map that a run of a ConvE takes; the cost model chooses them.

    With `forward`, each distinct head, relation or pair moves its features along every test triple's gradient, and a
    training triple costs two inner products: for few test triples. Otherwise each training triple's gradient is carried
    back and multiplied with the test triples' gradients: with `head_jacobians` through one Jacobian per head instead of
    row by row, and with directions made from Jacobians for a (head, relation) of at least `long_run` rows. With
    `relation_table`, the region that sees only the relation is computed once per relation for all batches.

    With `norms`, for influences that are divided by the lengths of training triples' gradients, these are carried back
    whole and row by row, and their lengths are made of the same factors.

    With `all_scores`, for a loss that reads the scores of all entities, each (head, relation) goes through the entity
    table, and each training triple's gradient is carried back.
    """

    forward: bool = False
    head_jacobians: bool = False
    long_run: int | None = None
    relation_table: bool = False
    all_scores: bool = False
    norms: bool = False

    def __post_init__(self) -> None:
        """Refuse ways that leave no gradients to carry back row by row, where these are needed.

        Raises
        ------
        ValueError
            If both are chosen.
        """
        if self.norms and (self.relation_table or self.head_jacobians or self.forward):
            raise ValueError(f"norms need gradients that are carried back whole, row by row: {self!r}")
        if self.all_scores and (self.head_jacobians or self.forward):
            raise ValueError(f"losses of all scores carry gradients back row by row: {self!r}")

    def __str__(self) -> str:
        """Name the ways for a plan."""
        table = ", relation table" if self.relation_table else ""
        if self.forward:
            return f"forward mode: directions per (head, relation){table}"
        ways = ["Jacobians per head" if self.head_jacobians else "backward per row"]
        if self.long_run is not None:
            ways.append(f"directions for (head, relation) of {self.long_run} rows or more")
        first = "scores of all entities per (head, relation), " if self.all_scores else ""
        first += "with their lengths, " if self.norms else ""
        return f"pair product: {first}{', '.join(ways)}{table}"
