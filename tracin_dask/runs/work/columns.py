"""The columns of a job by one checkpoint, those of landmarks among them, and how they add up to answers."""

import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.influence.batch import send
from tracin_dask.influence.columns import Answers, Question, Targets, answers_of, prepare_question
from tracin_dask.influence.engine import Engine, Factors
from tracin_dask.influence.landmarks import SideBySide, through_landmarks
from tracin_dask.influence.losses import num_parts
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.tensors import concatenate
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.oom_retry import InPieces


def prepared_columns(job: ScoreJob, engine: Engine, targets: Targets) -> tuple[Factors, Answers]:
    """Compute the columns of the test triples by one checkpoint, and say how they add up to answers."""
    factors = prepare_question(engine, job.question, targets, batch_size=job.batch_size)
    answers = answers_of(targets, job.question.num_gradients(job.scoring.loss))
    if job.landmarks is None:
        return factors, answers
    landmarks = Targets(triples=job.landmarks.triples)
    theirs = prepare_question(engine, Question(), landmarks, batch_size=job.batch_size)
    columns = SideBySide(
        answers=answers, num_columns=len(factors), landmarks=answers_of(landmarks, num_parts(job.scoring.loss))
    )
    both = concatenate([factors, theirs])
    products = _products(job, InPieces(make_scorer(engine, both, columns), engine.model.device))
    return both, through_landmarks(columns, products, job.landmarks, learning_rate=engine.learning_rate)


def _products(job: ScoreJob, batches: InPieces) -> Float[Tensor, "landmark answer_or_landmark"]:
    """Multiply the gradients of the landmarks with all columns, batch by batch."""
    assert job.landmarks is not None  # noqa: S101 - asked where there are some
    found, triples = list[Tensor](), job.landmarks.triples
    for start in range(0, len(triples), job.batch_size):
        some = triples[start : start + job.batch_size]
        parts = list(batches.parts(some))
        total = parts[0].influences.new_empty(len(some), parts[0].influences.shape[1])
        for part in parts:
            total[send(part.rows, total.device)] = part.influences
        found.append(total)
    return torch.cat(found)
