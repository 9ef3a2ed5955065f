"""Which paths are looked for, and how they are scored."""

from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from tracin_dask.errors import ConfigError

Measure = Literal["mean", "sum", "min", "geometric", "harmonic"]
MOST_HOPS = 4


class PathKeywords(TypedDict, total=False):
    """The keywords that choose paths: those of `PathOptions`."""

    most_hops: int
    fewest_hops: int
    directed: bool
    measure: Measure
    proponents_only: bool
    most_paths: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PathOptions:
    """Which paths are looked for, and how they are scored.

    Attributes
    ----------
    most_hops, fewest_hops
        How many training triples a path has: from 1 to 4.
    directed
        Walk a training triple from its head to its tail only; else in both directions.
    measure
        The score of a path, from the influences of its training triples: their arithmetic `mean`, `sum`, smallest
        (`min`), `geometric` mean or `harmonic` mean. The last two are defined for paths of proponents only: other
        paths have no score.
    proponents_only
        Leave opponents out; else both sides are walked.
    most_paths
        How many paths of each answer are kept, the best; None for all.

    Raises
    ------
    ConfigError
        If a value is not allowed.
    """

    most_hops: int = 3
    fewest_hops: int = 2
    directed: bool = False
    measure: Measure = "mean"
    proponents_only: bool = False
    most_paths: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if not 1 <= self.fewest_hops <= self.most_hops <= MOST_HOPS:
            raise ConfigError(
                f"paths of {self.fewest_hops} to {self.most_hops} hops: expected 1 <= fewest hops <= most hops <= "
                f"{MOST_HOPS}"
            )
        if self.measure not in get_args(Measure):
            raise ConfigError(f"{self.measure!r} is no measure of paths; expected {', '.join(get_args(Measure))}")
        if self.most_paths is not None and self.most_paths < 1:
            raise ConfigError(f"most_paths is {self.most_paths}; expected at least 1, or None for all paths")
