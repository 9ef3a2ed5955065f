"""The loss of one triple: each says which scores it reads, its parts and its derivative, and engines ask the loss."""

from tracin_dask.influence.losses.base import (
    AllScoresLoss,
    AnyLoss,
    CorruptingLoss,
    Loss,
    LossPart,
    Reads,
    SeparableLoss,
    derivative,
    num_parts,
    reads,
)
from tracin_dask.influence.losses.checks import refuse_wrong_value
from tracin_dask.influence.losses.identity import loss_identity
from tracin_dask.influence.losses.one_to_all import OneToAll
from tracin_dask.influence.losses.own_score import BinaryCrossEntropy, LabelledScore, NegatedScore
from tracin_dask.influence.losses.slcwa import SLCWA

__all__ = [
    "SLCWA",
    "AllScoresLoss",
    "AnyLoss",
    "BinaryCrossEntropy",
    "CorruptingLoss",
    "LabelledScore",
    "Loss",
    "LossPart",
    "NegatedScore",
    "OneToAll",
    "Reads",
    "SeparableLoss",
    "derivative",
    "loss_identity",
    "num_parts",
    "reads",
    "refuse_wrong_value",
]
