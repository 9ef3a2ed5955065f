"""The check of a model that is not ConvE when it is loaded."""

import warnings

import torch
from torch import nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checks.derivatives import scores_of
from tracin_dask.models.checks.gradients import TABLE_RULE, check_gradients
from tracin_dask.models.checks.sampled import sampled_triples
from tracin_dask.models.rowwise import Face, RowwiseModel, tolerance_of
from tracin_dask.turn import one_at_a_time


def checked(model: nn.Module, face: Face) -> RowwiseModel:
    """Adapt a model whose scores and gradients are those of the rows that triples read.

    Raises
    ------
    CheckpointError
        If a table is none, a score raises, or scores or gradients depend on anything else.
    """
    taken = RowwiseModel(model, face)
    for role in ("entity", "relation"):
        taken.num_rows(role)
    with one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operations that are slow or beta in one of the ways that are tried
        ways = check_gradients(taken)
        _check_scores(taken)
    return RowwiseModel(model, face, ways=ways)


def _check_scores(model: RowwiseModel) -> None:
    """Compare scores of the model itself, with any of its rows, with those from the rows of its tables."""
    triples = sampled_triples(model, model.config.effort)
    with torch.no_grad():
        expected = scores_of(model, triples)
        found = model.score_rows(model.rows(triples), {}, triples)
    tolerance = tolerance_of(model.dtype) * float(1 + expected.abs().max())
    if not torch.allclose(found, expected, rtol=0, atol=tolerance, equal_nan=True):
        raise CheckpointError(
            f"{model.face.name} gives other scores from the rows of {', '.join(model.tables) or 'no table'} than as a "
            f"whole: {TABLE_RULE}"
        )
