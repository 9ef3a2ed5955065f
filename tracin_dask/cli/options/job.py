"""All options that `run` and `plan` share."""

from tracin_dask.cli.options.data import DATA_OPTIONS, DataFlags
from tracin_dask.cli.options.expert import EXPERT_OPTIONS, ExpertFlags
from tracin_dask.cli.options.masking import MASKING_OPTIONS, MaskingFlags
from tracin_dask.cli.options.model import MODEL_OPTIONS, ModelFlags
from tracin_dask.cli.options.output import SAVED_OPTIONS, SavedFlags
from tracin_dask.cli.options.question import QUESTION_OPTIONS, QuestionFlags
from tracin_dask.cli.options.ranking import RANKING_OPTIONS, RankingFlags
from tracin_dask.cli.options.where import WHERE_OPTIONS, WhereFlags

JOB_OPTIONS = (
    *MODEL_OPTIONS,
    *DATA_OPTIONS,
    *QUESTION_OPTIONS,
    *RANKING_OPTIONS,
    *MASKING_OPTIONS,
    *SAVED_OPTIONS,
    *WHERE_OPTIONS,
    *EXPERT_OPTIONS,
)


class JobFlags(
    ModelFlags,
    DataFlags,
    QuestionFlags,
    RankingFlags,
    MaskingFlags,
    SavedFlags,
    WhereFlags,
    ExpertFlags,
):
    """The values of these options, by name."""
