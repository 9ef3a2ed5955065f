"""How specific the lists of a result are: whether each is about its own test triple, or all are about the same."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from numpy import ndarray

from tracin_dask.report.result import InfluenceResult

MOST_SHARED = 0.2
"""Share of their places that two lists may have in common, on average, beyond what lists have by chance, ..."""
LEAST_TOUCHING = 0.75
"""... where fewer than this share of the training triples has an entity of the test triple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specificity:
    """What the lists of several test triples, or of sets of them, have in common."""

    lists: int
    places: int
    """The entries of all lists."""
    distinct: int
    """Different training triples, by their lines, that fill these places."""
    touching: float
    """Share of the places whose training triple has an entity of the test triple, or of one of the set."""
    shared: float
    """Share of their places that two lists have in common, on average over all pairs of lists."""
    with_proponents: int
    """Lists with an entry that speaks for the prediction."""
    with_opponents: int
    by_chance: float
    """Share of their places that two lists would have in common if they were random."""

    @property
    def is_low(self) -> bool:
        """Whether the lists say more about the model than about their test triples."""
        return self.shared > MOST_SHARED + self.by_chance and self.touching < LEAST_TOUCHING

    def to_dict(self) -> dict[str, Any]:
        """Give it as the summary of a folder states it."""
        return asdict(self) | {"is_low": self.is_low}


def specificity_of(result: InfluenceResult) -> Specificity | None:
    """Compare the lists of a result; None where there are not two with entries."""
    if result.test_triples is None or sum(len(ranking) > 0 for ranking in result.rankings) < 2:
        return None
    lines = np.concatenate([ranking.train_index for ranking in result.rankings])
    _, times = np.unique(lines, return_counts=True)
    touches = [_touching(result, index) for index in range(len(result.rankings))]
    return Specificity(
        lists=len(result.rankings),
        places=len(lines),
        distinct=len(times),
        touching=float(np.concatenate(touches).mean()),
        shared=_shared(times, [len(ranking) for ranking in result.rankings]),
        with_proponents=sum(bool((ranking.influence > 0).any()) for ranking in result.rankings),
        with_opponents=sum(bool((ranking.influence < 0).any()) for ranking in result.rankings),
        by_chance=max(map(len, result.rankings)) / max(1, result.run["num_training_triples"]),
    )


def _touching(result: InfluenceResult, index: int) -> Bool[ndarray, " entry"]:
    """Tell which training triples of a list share an entity with their test triple, set or contrast tail."""
    assert result.test_triples is not None  # noqa: S101 - lists of self-influence have none
    members = np.array([index]) if result.sets is None else result.sets.members(index)
    entities = result.test_triples[members][:, [0, 2]]
    if result.contrast_tails is not None:
        entities = np.concatenate([entities.ravel(), result.contrast_tails[members]])
    heads, tails = (np.isin(result.rankings[index].triples[:, column], entities) for column in (0, 2))
    return heads | tails


def _shared(times: Int[ndarray, " line"], lengths: list[int]) -> float:
    """Average over pairs of lists: the entries that both have, over the length of the shorter one."""
    in_common = float((times * (times - 1)).sum() / 2)
    shortest_first = np.sort(lengths)
    of_shorter = float((shortest_first * np.arange(len(lengths) - 1, -1, -1)).sum())
    return in_common / of_shorter


def described(specificity: Specificity, *, both_sides: bool) -> list[str]:
    """Say it in a line, and in another what helps where the lists are about the same.

    `both_sides` says that proponents and opponents were ranked together.
    """
    sides = f"; {specificity.with_opponents:,} of the lists have opponents" if both_sides else ""
    line = (
        f"the {specificity.lists:,} lists hold {specificity.distinct:,} different training triples in "
        f"{specificity.places:,} places; {specificity.touching:.0%} of the places have an entity of their test triple; "
        f"two lists share {specificity.shared:.0%} of their places on average{sides}"
    )
    if not specificity.is_low:
        return [line]
    advice = (
        "these lists are hardly about their own test triples: --preset retraining ranks training triples that share an "
        "entity with them, by how much the prediction would change without each; --normalize cosine puts those last "
        "that push every prediction"
    )
    return [line, advice]
