"""The exact ranks of listed training triples, among all training triples that are ranked."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.report.equal import EqualByParts

NOT_RANKED = 0
NO_INFLUENCE = "no influence"
"""What readers see for a percentile where an influence is exactly 0: that of its rank would be one of its line."""
TIES_OF_ZERO = (
    "No influence: exactly 0, as all others that it ties with; the rank among these follows the lines of the training "
    "file."
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ListedRanks(EqualByParts):
    """Listed training triples: a row for each of their lines in the training file."""

    triples: Int[ndarray, "listed 3"]
    train_index: Int[ndarray, " listed"]
    influence: Float[ndarray, "answer listed"]
    """A row for each test triple, or set of them; a single one for self-influence."""
    rank: Int[ndarray, "answer listed"]
    """1 for the first; 0 for those that the options of the run leave out of rankings."""
    num_ranked: Int[ndarray, " answer"]
    """How many training triples are ranked."""

    def percentile(self, test_index: int = 0) -> Float[ndarray, " listed"]:
        """Give the share of the other ranked training triples that rank behind each, in percent.

        100 is the first, 0 the last; NaN for those that are not ranked.
        """
        rank, number = self.rank[test_index], int(self.num_ranked[test_index])
        behind = np.where(rank == NOT_RANKED, np.nan, number - rank)
        return 100 * behind / (number - 1) if number > 1 else behind + 100
