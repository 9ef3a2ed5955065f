"""Which training triples are reported of each test triple."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from tracin_dask.identity import changes
from tracin_dask.influence.reductions.topk import RankBy
from tracin_dask.runs.options.refusals import refuse_unknown, require_count
from tracin_dask.triples.training_triples import ListedTriples

TopKPer = Literal["relation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingOptions:
    """Which training triples are reported.

    Attributes
    ----------
    top_k
        Entries reported per test triple.
    top_k_per
        `relation`: report `top_k` entries of each relation, for each test triple, in one list.
    rank_by
        `absolute`: the largest |influence|. `proponents`: the largest positive ones only. `opponents`: the largest
        negative ones only.
    rank_of
        Training triples, ids or labels, or what `read_training_triples` gives: the exact rank, influence and percentile
        of each among all training triples, in the order of `rank_by`.
    """

    top_k: int = field(default=10, metadata=changes("records"))
    top_k_per: TopKPer | None = field(default=None, metadata=changes("records"))
    rank_by: RankBy = field(default="absolute", metadata=changes("result"))
    rank_of: ListedTriples | None = field(default=None, metadata=changes("records", through="rank_of"))

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises
        ------
        ConfigError
            Naming the option, its value and what is allowed.
        """
        require_count("top_k", self.top_k)
        if self.top_k_per is not None:
            refuse_unknown("top_k_per", self.top_k_per, get_args(TopKPer))
        refuse_unknown("rank_by", self.rank_by, get_args(RankBy))
