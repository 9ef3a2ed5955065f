"""Combinations of options whose influences were measured to predict next to nothing: docs/evidence.md."""

import logging
from collections.abc import Sequence

from tracin_dask.influence.losses import reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.runs.options.scoring import ScoringOptions

SUMMED, LAST = (0.06, 0.05), (0.12, 0.10)
"""Rank correlations under `one-to-all`, on UMLS and Kinships: summed over 4 checkpoints, and the last one alone."""

logger = logging.getLogger(__name__)


def warn_of_poor_options(scoring: ScoringOptions, trainings: Sequence[int]) -> None:
    """Warn of options that were measured to be poor together, with the figure and the option that helps.

    `trainings` has the number of each checkpoint's training.
    """
    is_summed = len(trainings) > len(set(trainings))
    is_divided = scoring.curvature != "none" or scoring.normalize != "none"
    if is_summed and not is_divided and reads(scoring.loss) == ALL_SCORES:
        logger.warning(
            "early checkpoints drown the others in this sum over checkpoints under the loss %s: its rank correlation "
            "with retraining was %s on UMLS and %s on Kinships, that of the last checkpoint alone %s and %s; "
            "--preset retraining gives each checkpoint its own curvature",
            scoring.loss.name,
            *SUMMED,
            *LAST,
        )
