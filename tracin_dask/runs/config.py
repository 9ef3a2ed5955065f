"""What a run is asked to do: frozen values in groups, parsed at the border."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

from tracin_dask.errors import ConfigError
from tracin_dask.runs.options.computing import ComputingOptions
from tracin_dask.runs.options.masking import MaskingOptions
from tracin_dask.runs.options.question import QuestionOptions
from tracin_dask.runs.options.ranking import RankingOptions
from tracin_dask.runs.options.saving import SavingOptions
from tracin_dask.runs.options.scoring import ScoringOptions
from tracin_dask.runs.presets import PLAIN, preset_options


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Options of a run that are about the scores; where it runs is in `Execution`.

    `RunConfig.of(top_k=50, precision="bf16")` makes one of options by their names alone.

    Attributes
    ----------
    question
        What is explained: test triples, their losses or scores, and against which other tails.
    scoring
        What an influence is: the loss, the tracked parameter tensors, steps, norms and learning rates.
    ranking
        Which training triples are reported.
    masking
        Which training triples are ranked.
    saving
        What is kept besides the rankings.
    computing
        How influences are computed: batches, device, precision.
    """

    question: QuestionOptions = field(default_factory=QuestionOptions)
    scoring: ScoringOptions = field(default_factory=ScoringOptions)
    ranking: RankingOptions = field(default_factory=RankingOptions)
    masking: MaskingOptions = field(default_factory=MaskingOptions)
    saving: SavingOptions = field(default_factory=SavingOptions)
    computing: ComputingOptions = field(default_factory=ComputingOptions)

    def __post_init__(self) -> None:
        """Refuse options that contradict each other.

        Raises
        ------
        ConfigError
            Naming both, and what to do.
        """
        scoring, precision = self.scoring, self.computing.precision
        if scoring.normalize != "none" and self.question.mode == "self":
            raise ConfigError(
                f"normalize {scoring.normalize} is for influences on test triples: in mode 'self' a triple meets "
                "itself only, and its cosine with itself is 1; leave normalize out"
            )
        if scoring.curvature == "landmarks" and self.question.mode == "self":
            raise ConfigError("landmarks explain test triples, and mode 'self' has none; take curvature rows")
        compares = self.masking.compares
        if self.question.mode == "self" and compares:
            is_one = len(compares) == 1
            raise ConfigError(
                f"{' and '.join(compares)} compare{'s' * is_one} training triples with test triples, and mode 'self' "
                f"has none; leave {'it' if is_one else 'them'} out"
            )
        if self.question.mode == "self" and self.saving.ranks != "auto":
            raise ConfigError("ranks are those of test triples, and mode 'self' has none; leave ranks out")
        self._refuse_self_influence()
        if precision in {"fp16", "mixed"} and scoring.method is not None:
            taken = "fp16" if precision == "fp16" else "mixed takes fp16 on a GPU, which"
            raise ConfigError(
                f"precision {taken} holds no number above 65,504, and a preconditioner, such as Adam's "
                "1 / (√v̂ + ε), has larger ones; take bf16 or tf32"
            )

    def _refuse_self_influence(self) -> None:
        """Refuse self-influences of test triples where mode 'self' gives none that could be meant."""
        if not self.saving.also_self_influence:
            return
        if self.question.mode == "self":
            raise ConfigError("also_self_influence adds what mode 'self' gives anyway; leave one of them out")
        if self.scoring.curvature == "landmarks":
            raise ConfigError(
                "also_self_influence takes no curvature landmarks, which give no triple a self-influence; take "
                "curvature rows, or leave also_self_influence out"
            )

    @classmethod
    def of(cls, **options: Any) -> "RunConfig":  # noqa: ANN401 - every option has a type of its own
        """Make a configuration of options by their names, whichever group they belong to; raises as `changed`.

        `preset` names a set of options (`tracin_dask.runs.presets`). Options that are also given override it.
        """
        return _with(cls(), {**preset_options(options.get("preset", PLAIN)), **options})

    def changed(self, **options: Any) -> "RunConfig":  # noqa: ANN401 - as `of`
        """Give a configuration with other values of some options, by their names.

        Raises
        ------
        ConfigError
            If there is no option of a name, or a value is refused.
        """
        if "preset" in options:
            raise ConfigError("a preset is where a configuration starts: RunConfig.of(preset=..., ...)")
        return _with(self, options)


def _with(config: RunConfig, options: Mapping[str, Any]) -> RunConfig:
    """Give a configuration with other values of some options."""
    homes, by_group = option_groups(), dict[str, dict[str, Any]]()
    for name, value in options.items():
        if name not in homes:
            raise ConfigError(f"there is no option {name!r}{_meant(name, homes)}")
        by_group.setdefault(homes[name], {})[name] = value
    return replace(config, **{group: replace(getattr(config, group), **some) for group, some in by_group.items()})


@cache
def option_groups() -> Mapping[str, str]:
    """Give the group of every option, by the option's name: no two groups share one."""
    groups = {group.name: getattr(RunConfig(), group.name) for group in fields(RunConfig)}
    return {option.name: name for name, group in groups.items() for option in fields(group)}


def _meant(name: str, known: Mapping[str, str]) -> str:
    """Say what an unknown name may have been meant for."""
    found = difflib.get_close_matches(name, known)
    if found:
        return f"; did you mean {' or '.join(found)}?"
    return f"; the options of a run are {', '.join(known)}"
