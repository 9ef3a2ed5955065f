"""How the influences of a model without closed form are computed; all ways give the same sums."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientModes:
    """The way that a run of any other model takes; the cost model chooses.

    Rows of tables meet where ids are equal. Of the tensors that all scores share, if any is tracked (`has_dense`),
    either each training triple's score moves along every test triple's gradient (`forward`), or each training
    triple's own gradient is made.
    """

    has_dense: bool = False
    forward: bool = False

    def __str__(self) -> str:
        """Say what is done per training triple."""
        if not self.has_dense:
            return "automatic differentiation: gradients of rows that test triples share"
        way = "forward mode along each test triple's gradient" if self.forward else "gradients of each triple"
        return f"automatic differentiation: {way}, and of rows that test triples share"
