"""All options that `run` and `plan` share."""

from tracin_dask.cli.options.data import DATA_OPTIONS, DataOptions
from tracin_dask.cli.options.expert import EXPERT_OPTIONS, ExpertOptions
from tracin_dask.cli.options.masking import MASKING_OPTIONS, MaskingOptions
from tracin_dask.cli.options.model import MODEL_OPTIONS, ModelOptions
from tracin_dask.cli.options.output import SAVED_OPTIONS, SavedOptions
from tracin_dask.cli.options.question import QUESTION_OPTIONS, QuestionOptions
from tracin_dask.cli.options.ranking import RANKING_OPTIONS, RankingOptions
from tracin_dask.cli.options.where import WHERE_OPTIONS, WhereOptions

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


class JobOptions(
    ModelOptions,
    DataOptions,
    QuestionOptions,
    RankingOptions,
    MaskingOptions,
    SavedOptions,
    WhereOptions,
    ExpertOptions,
):
    """These options, by name."""
