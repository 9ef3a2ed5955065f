"""Puts together what a result states of the test triples themselves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from tracin_dask.influence.losses import SLCWA, AnyLoss, BinaryCrossEntropy, OneToAll
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.report.predictions import Predictions
from tracin_dask.runs.predictions.choice import RankChoice
from tracin_dask.runs.predictions.equal_lines import EqualLines, equal_lines
from tracin_dask.runs.predictions.task import RankTask, TripleScores, join
from tracin_dask.runs.prepare import PreparedRun

Score = Callable[[Sequence[RankTask]], Sequence[TripleScores]]
"""Scores and ranks triples wherever a run is carried out."""


def predictions_of(prepared: PreparedRun, score: Score) -> tuple[Predictions | None, Mapping[str, Any]]:
    """Let test triples be scored and ranked; gives also what the metadata of the run states of it."""
    if prepared.test_triples is None:
        return None, {}
    choice = RankChoice(prepared)
    parts = choice.parts(choice.triples, with_heads=True)
    others = [] if choice.contrast is None else choice.parts(choice.contrast, with_heads=False)
    found = score([*parts, *others])
    are_logits = scores_are_logits(prepared.checkpoints[-1].model, prepared.config.scoring.loss)
    number, contrast = len(choice.triples), None
    lines = equal_lines(prepared.store, choice.every_triple)
    if others:
        contrast = _made(join(found[len(parts) :]), lines[number:], None, are_logits=are_logits)
    made = _made(join(found[: len(parts)]), lines[:number], contrast, are_logits=are_logits)
    return made, {"prediction": _about(choice, are_logits=are_logits)}


def scores_are_logits(model: TrainedModel, loss: AnyLoss) -> bool:
    """Tell whether the sigmoid of a score is a probability: by what is known of the model, and by the run's loss."""
    match model:
        case ConvE():
            is_logit = True
        case RowwiseModel():
            is_logit = model.face.scores_are_logits
        case _:
            is_logit = False
    return is_logit and isinstance(loss, BinaryCrossEntropy | OneToAll | SLCWA)


def _made(
    found: TripleScores, lines: Sequence[EqualLines], contrast: Predictions | None, *, are_logits: bool
) -> Predictions:
    return Predictions(
        score=found.score,
        probability=sigmoid(found.score) if are_logits else None,
        tail_ranks=found.tail_ranks,
        head_ranks=found.head_ranks,
        train_index=tuple(one.same for one in lines),
        reversed_train_index=tuple(one.backwards for one in lines),
        contrast=contrast,
    )


def _about(choice: RankChoice, *, are_logits: bool) -> dict[str, Any]:
    """State by which checkpoint, among how many entities, and why what is missing is not there."""
    prepared = choice.prepared
    about: dict[str, Any] = {
        "checkpoint": str(prepared.checkpoints[-1].path),
        "num_entities": prepared.store.info.num_entities,
        "probability": "sigmoid of the score" if are_logits else None,
    }
    if choice.why_no_tails:
        about["why_no_tail_ranks"] = choice.why_no_tails
    if choice.why_no_heads:
        about["why_no_head_ranks"] = choice.why_no_heads
    else:
        about["heads"] = "all heads" if choice.inverse_of is None else "tails of inverse relations"
    return about


def sigmoid(score: Float[ndarray, " test"]) -> Float[ndarray, " test"]:
    """Compute 1 / (1 + exp(−s)) without overflow."""
    small = np.exp(-np.abs(score))
    probability: ndarray = np.where(score < 0, small, 1.0) / (1 + small)
    return probability
