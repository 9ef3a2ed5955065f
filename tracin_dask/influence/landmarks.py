"""The inverse of the whole Fisher matrix, through the gradients of some training triples: the landmarks.

With F = (1/M) Σ_l ∇l ∇lᵀ over M landmarks l, and the matrices K of the products of landmarks with each other and C of
landmarks with the answers j, the identity of Woodbury gives

    (F + μ)⁻¹ ∇j = (∇j − Σ_l α_lj ∇l) / μ        α = (M μ I + K)⁻¹ C

So landmarks are further columns, and the influence of i on j is a linear combination of products of i with all columns.
μ = damping · tr F / N with the number N of all training triples, tr F the mean of the diagonal of K. Where all training
triples are landmarks, this is the exact inverse.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import NonFiniteError
from tracin_dask.influence.columns import Answers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Landmarks:
    """Training triples through which a run inverts the Fisher matrix."""

    triples: Int[ndarray, "landmark 3"]
    num_triples: int
    """How many training triples there are."""
    damping: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """Answers, and behind their columns those of landmarks."""

    answers: Answers
    num_columns: int
    """The columns of the answers."""
    landmarks: Answers

    def add_up(self, influences: Float[Tensor, "row column"]) -> Float[Tensor, "row answer_or_landmark"]:
        """Add the columns of every answer up, and those of every landmark."""
        ours, theirs = influences[:, : self.num_columns], influences[:, self.num_columns :]
        return torch.cat([self.answers.add_up(ours), self.landmarks.add_up(theirs)], dim=1)

    def of_columns(self, values: Float[Tensor, " answer"], num_columns: int) -> Float[Tensor, " column"]:
        """Refuse: influences through landmarks are not divided by norms.

        Raises
        ------
        AssertionError
            Always.
        """
        raise AssertionError(f"{len(values)} values for {num_columns} columns of answers and landmarks")

    def on(self, device: torch.device) -> "SideBySide":
        """Bring both to a device."""
        return replace(self, answers=self.answers.on(device), landmarks=self.landmarks.on(device))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughLandmarks:
    """Influences on answers, divided by the curvature that the landmarks tell."""

    columns: SideBySide
    weights: Float[Tensor, "landmark answer"]
    """α."""
    least: float
    """μ."""

    def add_up(self, influences: Float[Tensor, "row column"]) -> Float[Tensor, "row answer"]:
        """Give (⟨i, j⟩ − Σ_l α_lj ⟨i, l⟩) / μ."""
        both, num_answers = self.columns.add_up(influences), self.weights.shape[1]
        weights = self.weights.to(both)
        return torch.addmm(both[:, :num_answers], both[:, num_answers:], weights, alpha=-1).div_(self.least)

    def of_columns(self, values: Float[Tensor, " answer"], num_columns: int) -> Float[Tensor, " column"]:
        """Refuse as `SideBySide`."""
        return self.columns.of_columns(values, num_columns)

    def on(self, device: torch.device) -> "ThroughLandmarks":
        """Bring all that adds up to a device."""
        return replace(self, columns=self.columns.on(device), weights=self.weights.to(device))


def through_landmarks(
    columns: SideBySide,
    products: Float[Tensor, "landmark answer_or_landmark"],
    landmarks: Landmarks,
    *,
    learning_rate: float,
) -> ThroughLandmarks:
    """Find α and μ from learning_rate · ⟨∇l, ·⟩ of every landmark with all answers and landmarks, in float64.

    Raises
    ------
    NonFiniteError
        If the gradients of landmarks are 0, or so long that their products are no numbers.
    """
    number = len(landmarks.triples)
    ours = products.double() / learning_rate
    with_answers, gram = ours[:, :-number], ours[:, -number:]
    gram = (gram + gram.T) / 2
    least = landmarks.damping * float(gram.diagonal().mean()) / landmarks.num_triples
    damped = gram + number * least * torch.eye(number, dtype=gram.dtype, device=gram.device)
    if not (least > 0 and torch.isfinite(damped).all()):
        raise NonFiniteError(
            f"the gradients of the {number:,} landmarks are 0, or so long that their products are no numbers; use a "
            "model that is trained, or leave --curvature out"
        )
    factor, info = torch.linalg.cholesky_ex(damped)
    if int(info):
        raise NonFiniteError(
            f"the products of the {number:,} landmarks with each other are too rounded for a damping of "
            f"{landmarks.damping:g}; give a larger --damping, or --precision float64"
        )
    weights = torch.cholesky_solve(with_answers, factor)
    return ThroughLandmarks(columns=columns, weights=weights, least=least)
