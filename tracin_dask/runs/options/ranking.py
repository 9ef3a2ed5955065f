"""Which training triples are reported of each test triple."""

from dataclasses import dataclass, field
from typing import get_args

from tracin_dask.errors import ConfigError
from tracin_dask.identity import changes
from tracin_dask.influence.reductions.topk import RankBy
from tracin_dask.runs.options.refusals import refuse_unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingOptions:
    """Which training triples are reported.

    Attributes
    ----------
    top_k
        Entries reported per test triple.
    rank_by
        `absolute`: the largest |influence|. `proponents`: the largest positive ones only. `opponents`: the largest
        negative ones only.
    """

    top_k: int = field(default=10, metadata=changes("records"))
    rank_by: RankBy = field(default="absolute", metadata=changes("nothing"))

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises
        ------
        ConfigError
            Naming the option, its value and what is allowed.
        """
        if self.top_k < 1:
            raise ConfigError(f"top_k must be at least 1, not {self.top_k}")
        refuse_unknown("rank_by", self.rank_by, get_args(RankBy))
