"""Combinations of options whose influences were measured to predict next to nothing: docs/evidence.md."""

import logging
from collections.abc import Sequence

from tracin_dask.influence.losses import OneToAll
from tracin_dask.influence.preconditioners.registry import NONE
from tracin_dask.runs.config import RunConfig

SUMMED, PRESET = (0.09, 0.08, 0.05), (0.73, 0.56, 0.72)
"""Rank correlations of sums over 4 checkpoints on UMLS, Kinships and CoDEx-S: under `one-to-all`, and of the preset."""

logger = logging.getLogger(__name__)


def warn_of_poor_options(config: RunConfig, trainings: Sequence[int]) -> None:
    """Warn of options that were measured to be poor together, with the figures and the option that helps.

    `trainings` has the number of each checkpoint's training. Only what was measured is warned of.
    """
    scoring, question = config.scoring, config.question
    is_summed = len(trainings) > len(set(trainings))
    is_plain = (scoring.curvature, scoring.normalize, scoring.preconditioner) == ("none", "none", NONE)
    is_whole = not scoring.parameters and scoring.last_layers is None
    is_of_loss = (question.mode, question.explain) == ("test", "loss")
    if is_summed and is_plain and is_whole and is_of_loss and isinstance(scoring.loss, OneToAll):
        logger.warning(
            "sums over checkpoints under the loss one-to-all were measured to predict little, since early checkpoints "
            "drown the others: the rank correlation with retraining was %.2f on UMLS, %.2f on Kinships and %.2f on "
            "CoDEx-S; with --preset retraining and the loss bce it was %.2f, %.2f and %.2f",
            *SUMMED,
            *PRESET,
        )
