"""Puts together what a result states of the test triples themselves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.influence.losses import SLCWA, AnyLoss, BinaryCrossEntropy, OneToAll
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.report.predictions import Predictions
from tracin_dask.runs.predictions.choice import RankChoice
from tracin_dask.runs.predictions.task import RankTask, TripleScores, join
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.training_triples import find_training_triples

Score = Callable[[Sequence[RankTask]], Sequence[TripleScores]]
"""Scores and ranks triples wherever a run is carried out."""
Lines = tuple[Int[ndarray, " _"], ...]


def predictions_of(prepared: PreparedRun, score: Score) -> tuple[Predictions | None, Mapping[str, Any]]:
    """Let test triples be scored and ranked; gives also what the metadata of the run states of it."""
    if prepared.test_triples is None:
        return None, {}
    choice = RankChoice(prepared)
    parts = choice.parts(choice.triples, with_heads=True)
    others = [] if choice.contrast is None else choice.parts(choice.contrast, with_heads=False)
    found = score([*parts, *others])
    are_logits = scores_are_logits(prepared.checkpoints[-1].model, prepared.config.scoring.loss)
    contrast = None
    if choice.contrast is not None:
        contrast = _made(prepared.store, choice.contrast, found[len(parts) :], None, are_logits=are_logits)
    made = _made(prepared.store, choice.triples, found[: len(parts)], contrast, are_logits=are_logits)
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
    store: TripleStore,
    triples: Int[ndarray, "test 3"],
    parts: Sequence[TripleScores],
    contrast: Predictions | None,
    *,
    are_logits: bool,
) -> Predictions:
    found = join(parts)
    return Predictions(
        score=found.score,
        probability=_sigmoid(found.score) if are_logits else None,
        tail_ranks=found.tail_ranks,
        head_ranks=found.head_ranks,
        train_index=_lines_of(store, triples),
        reversed_train_index=_reversed_lines(store, triples),
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


def _lines_of(store: TripleStore, triples: Int[ndarray, "test 3"]) -> Lines:
    """Find the lines of the training file that have each triple."""
    distinct, place = np.unique(triples, axis=0, return_inverse=True)
    training, _ = find_training_triples(store, distinct)
    found: dict[tuple[int, ...], list[int]] = {}
    for triple, line in zip(training.triples.tolist(), training.train_index.tolist(), strict=True):
        found.setdefault(tuple(triple), []).append(line)
    of_distinct = [np.array(found.get(tuple(triple), []), dtype=np.int64) for triple in distinct.tolist()]
    return tuple(of_distinct[number] for number in place.ravel().tolist())


def _reversed_lines(store: TripleStore, triples: Int[ndarray, "test 3"]) -> Lines:
    """Find the lines with head and tail exchanged; a triple of an entity with itself has none."""
    lines, is_loop = _lines_of(store, triples[:, ::-1]), triples[:, 0] == triples[:, 2]
    return tuple(some[:0] if loop else some for some, loop in zip(lines, is_loop.tolist(), strict=True))


def _sigmoid(score: Float[ndarray, " test"]) -> Float[ndarray, " test"]:
    """Compute 1 / (1 + exp(−s)) without overflow."""
    small = np.exp(-np.abs(score))
    probability: ndarray = np.where(score < 0, small, 1.0) / (1 + small)
    return probability
