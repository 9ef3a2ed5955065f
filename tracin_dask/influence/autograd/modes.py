"""How the influences of a model without closed form are computed; all ways give the same sums."""

from dataclasses import dataclass

from tracin_dask.models.scoring import EVERY_WAY, DerivativeWays


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientModes:
    """The way that a run of any other model takes; the cost model chooses.

    Rows of tables meet where ids are equal. Of the tensors that all scores share, if any is tracked (`has_dense`),
    either each training triple's score moves along every test triple's gradient (`forward`), or each training
    triple's own gradient is made.
    """

    all_scores: bool = False
    """Whether the loss reads the scores of all entities: those of a pair move along every column, for all tensors."""
    has_dense: bool = False
    forward: bool = False
    norms: bool = False
    """Whether influences are divided by the lengths of training triples' gradients: then each triple's own gradient by
    all tensors is made, and gives both."""
    ways: DerivativeWays = EVERY_WAY
    """In which ways the model's scores can be differentiated."""

    def __str__(self) -> str:
        """Say what is done per training triple."""
        if self.norms:
            return f"automatic differentiation: {self._of_each} by all tensors, with their lengths"
        if self.all_scores:
            return "automatic differentiation: scores of all entities per (head, relation), forward mode per column"
        if not self.has_dense:
            return "automatic differentiation: gradients of rows that test triples share"
        why = "" if self.ways.has_forward_mode else " (operations of the model have no forward-mode derivatives)"
        way = "forward mode along each test triple's gradient" if self.forward else self._of_each + why
        return f"automatic differentiation: {way}, and of rows that test triples share"

    @property
    def _of_each(self) -> str:
        """Say how the gradient of each triple is made."""
        how = "gradients of each triple"
        if not self.ways.is_mapped:
            how += ", one triple after the other since torch.func.vmap cannot differentiate the model"
        return how
