"""The numbers of an audit: products of gradients, their bounds and squared lengths, summed over checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from tracin_dask.influence.normalised import Normalize
from tracin_dask.runs.audit.plain.gradients import Differentiated


@dataclass(frozen=True, slots=True, kw_only=True)
class RowNumbers:
    """Those of one training triple and all answers; NaN where a gradient is near a kink."""

    square: float
    products: Float[ndarray, " answer"]
    bounds: Float[ndarray, " answer"]

    @classmethod
    def of(
        cls, own: Differentiated | None, answers: Sequence[Differentiated | None] | None, normalize: Normalize
    ) -> "RowNumbers":
        """Multiply a training triple's gradient with those of the answers, or without answers with itself."""
        others = [own] if answers is None else answers
        found = [
            (np.nan, np.nan) if own is None or other is None else (own.times(other), own.bound(other, normalize))
            for other in others
        ]
        products, bounds = np.array(found).reshape(-1, 2).T
        return cls(square=np.nan if own is None else own.square, products=products, bounds=bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Those of several training triples."""

    row_squares: Float[ndarray, " row"]
    answer_squares: Float[ndarray, " answer"]
    products: Float[ndarray, "row answer"]
    bounds: Float[ndarray, "row answer"]

    @classmethod
    def of(cls, rows: Sequence[RowNumbers], answers: Sequence[Differentiated | None] | None) -> "Numbers":
        """Put training triples together; self-influence has a column for itself, of no own length."""
        squares = [1.0] if answers is None else [np.nan if one is None else one.square for one in answers]
        shape = (len(rows), len(squares))
        return cls(
            row_squares=np.array([row.square for row in rows]),
            answer_squares=np.array(squares),
            products=np.array([row.products for row in rows]).reshape(shape),
            bounds=np.array([row.bounds for row in rows]).reshape(shape),
        )

    @classmethod
    def summed(cls, parts: Sequence["Numbers"], rates: Sequence[float]) -> "Numbers":
        """Add checkpoints up, each times its learning rate."""
        names = ("row_squares", "answer_squares", "products", "bounds")
        pairs = list(zip(parts, rates, strict=True))
        return cls(**{name: np.sum([rate * getattr(part, name) for part, rate in pairs], axis=0) for name in names})

    def known(self, normalize: Normalize, least_square: float) -> Bool[ndarray, "row answer"]:
        """Tell which products have all of their digits, and no gradient near a kink."""
        known: Bool[ndarray, "row answer"] = self.bounds >= least_square
        if normalize != "none":
            known = known & (self.row_squares >= least_square)[:, None]
        return known & (self.answer_squares >= least_square) if normalize == "cosine" else known

    def divided(self, normalize: Normalize) -> "Numbers":
        """Divide products and bounds by lengths, as influences are."""
        by = np.ones_like(self.products)
        if normalize != "none":
            by *= np.sqrt(self.row_squares)[:, None]
        if normalize == "cosine":
            by *= np.sqrt(self.answer_squares)
        with np.errstate(divide="ignore", invalid="ignore"):  # lengths of 0 are not compared
            return replace(self, products=self.products / by, bounds=self.bounds / by)
