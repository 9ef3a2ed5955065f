"""Comparison of a converted checkpoint with the one it came from, by the scores of random triples."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from jaxtyping import Int
from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.files import read_torch_file
from tracin_dask.models.checkpoints.state_dict import state_of, unwrapped
from tracin_dask.models.conve.dialects import PYKEEN
from tracin_dask.models.conve.load import load_conve
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.places.place import AnyPath

Scorer = Callable[[Tensor], Tensor]
"""Gives each triple [batch, 3] its score [batch]."""

NUM_TRIPLES = 10_000
TOLERANCE = 1e-8
"""The largest difference that can be rounding, as a part of the largest score (or of 1): weights in float64 give
1e-14, one wrong permutation gives 1."""
_BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How far the scores of two checkpoints are apart in float64, and who scored the one of PyKEEN's dialect."""

    largest_difference: float
    largest_score: float
    num_triples: int
    pykeen_side: str


def compare_checkpoints(given: Checkpoint[ConvE], output: AnyPath) -> Comparison:
    """Score random triples with both models; PyKEEN's dialect by PyKEEN's own ConvE where PyKEEN is installed.

    Raises
    ------
    CheckpointError
        If a difference is larger than rounding explains.
    """
    config = given.model.config
    before = _scorer(given.path, embedding_height=config.embedding_height, embedding_width=config.embedding_width)
    largest, largest_score = _largest_difference(before, _scorer(output), _random_triples(config))
    if not largest <= TOLERANCE * max(1.0, largest_score):
        raise CheckpointError(
            f"{output} does not score as {given.path}: scores differ by up to {largest:.1e}, the largest |score| is "
            f"{largest_score:.3g}; do not use it, and report this"
        )
    return Comparison(
        largest_difference=largest,
        largest_score=largest_score,
        num_triples=NUM_TRIPLES,
        pykeen_side="PyKEEN's own ConvE" if _has_pykeen() else "this package's ConvE, as PyKEEN is not installed",
    )


def _has_pykeen() -> bool:
    return find_spec("pykeen") is not None


def _scorer(path: AnyPath, *, embedding_height: int | None = None, embedding_width: int | None = None) -> Scorer:
    checkpoint = load_conve(
        path, embedding_height=embedding_height, embedding_width=embedding_width, dtype=torch.float64
    )
    if checkpoint.format.name != PYKEEN.name or not _has_pykeen():
        return checkpoint.model.score
    from tracin_dask.models.pykeen import conve as pykeen_conve  # noqa: PLC0415 - PyKEEN is optional, and takes seconds to import

    state = unwrapped(state_of(read_torch_file(path)))
    model = pykeen_conve.build(checkpoint.model.config, state, dtype=torch.float64)
    return lambda triples: pykeen_conve.score(model, triples)


def _random_triples(config: ConvEConfig) -> Int[Tensor, "triple 3"]:
    generator = torch.Generator().manual_seed(0)
    limits = (config.num_entities, config.num_relations, config.num_entities)
    return torch.stack([torch.randint(limit, (NUM_TRIPLES,), generator=generator) for limit in limits], dim=1)


def _largest_difference(one: Scorer, other: Scorer, triples: Int[Tensor, "triple 3"]) -> tuple[float, float]:
    """Give the largest difference and the largest |score|; NaN where a score is NaN."""
    with torch.no_grad():
        scores = torch.cat([torch.stack([one(batch), other(batch)]) for batch in torch.split(triples, _BATCH)], dim=1)
    return float((scores[0] - scores[1]).abs().max()), float(scores.abs().max())
