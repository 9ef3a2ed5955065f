"""Combinations of options whose influences were measured to predict next to nothing: docs/evidence.md."""

import logging
from collections.abc import Sequence

from tracin_dask.influence.losses import reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.runs.options.scoring import ScoringOptions

SUMMED, PRESET = (0.09, 0.07), (0.73, 0.56)
"""Rank correlations of sums over 4 checkpoints on UMLS and Kinships: under `one-to-all`, and with the preset."""

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
            "with retraining was %.2f on UMLS and %.2f on Kinships, and %.2f and %.2f with --preset retraining, which "
            "gives each checkpoint its own curvature",
            scoring.loss.name,
            *SUMMED,
            *PRESET,
        )
