"""The scores of all entities as the tail, or as the head, of some triples, by any model."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.config import TrainedModel
from tracin_dask.models.ranking.pieces import Pieces, pieces_of
from tracin_dask.models.rowwise import RowwiseModel, tolerance_of

_NUM_CHECKED = 3
"""Pairs (head, relation), and tails of each, by which the scores of all tails are compared with those of triples."""
HEAD, TAIL = 0, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Scores the candidates of triples, in pieces where a model scores triples one by one."""

    model: TrainedModel
    pieces: Pieces
    tails_at_once: bool
    """Whether the model gives the scores of all tails in one call, equal to those of single triples."""

    @classmethod
    def of(cls, model: TrainedModel) -> "Candidates":
        """Find out how a model scores its candidates."""
        pieces = pieces_of(model.config, model.dtype.itemsize)
        with torch.no_grad():
            return cls(model=model, pieces=pieces, tails_at_once=pieces.at_once and _gives_tails(model))

    def score(self, triples: Int[Tensor, "row 3"]) -> Float[Tensor, " row"]:
        """Score the triples themselves."""
        return torch.cat([self.model.score(some) for some in torch.split(triples, self.pieces.scores)])

    def tails(self, triples: Int[Tensor, "row 3"]) -> Float[Tensor, "row entity"]:
        """Score every entity as the tail."""
        return self.model.score_tails(triples[:, :2]) if self.tails_at_once else self._one_by_one(triples, TAIL)

    def heads(self, triples: Int[Tensor, "row 3"]) -> Float[Tensor, "row entity"]:
        """Score every entity as the head."""
        return self._one_by_one(triples, HEAD)

    def _one_by_one(self, triples: Int[Tensor, "row 3"], column: int) -> Float[Tensor, "row entity"]:
        """Score triples with every entity in one of their columns."""
        number = self.model.config.num_entities
        scores = torch.empty(len(triples) * number, dtype=self.model.dtype, device=triples.device)
        for start in range(0, len(scores), self.pieces.scores):
            place = torch.arange(start, min(start + self.pieces.scores, len(scores)), device=triples.device)
            some = triples[place // number]
            some[:, column] = place % number
            scores[place] = self.model.score(some)
        return scores.view(len(triples), number)


def _gives_tails(model: TrainedModel) -> bool:
    """Tell whether a model gives the scores of all tails in one call: one with a method for it may have it wrong."""
    if not isinstance(model, RowwiseModel):
        return True
    if model.face.score_tails is None:
        return False
    triples, tolerance = model.some_triples(_NUM_CHECKED), tolerance_of(model.dtype)
    tails = triples[:, TAIL]
    for triple in triples:
        expected = model.score(torch.stack([*triple[:2, None].expand(-1, len(tails)), tails], dim=1))
        try:
            scores = model.score_tails(triple[None, :2])
        except CheckpointError:
            return False
        if scores.shape != (1, model.config.num_entities):
            return False
        atol = tolerance * (1 + float(expected.abs().max()))
        if not torch.allclose(scores[0, tails], expected, rtol=0, atol=atol, equal_nan=True):
            return False
    return True
