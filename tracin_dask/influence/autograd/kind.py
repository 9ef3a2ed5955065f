"""The engine of any model, by automatic differentiation, as the rest of the project sees it."""

from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, get_args

import torch

from tracin_dask.errors import ConfigError
from tracin_dask.influence.autograd.all_tails import AllTails
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.engine_cost import autograd_cost
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.autograd.preconditioned import layout_of
from tracin_dask.influence.cost import Computing, EngineCost
from tracin_dask.influence.engine import EngineKind, EngineOptions, EngineSettings
from tracin_dask.influence.losses import AnyLoss, reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.influence.precision import Precision, WorkingPrecision
from tracin_dask.influence.preconditioners.base import Layout
from tracin_dask.models.config import ModelConfig
from tracin_dask.models.rowwise import RowwiseModel


@dataclass(slots=True, kw_only=True)
class ReadyRowwise:
    """A model on its device."""

    model: RowwiseModel
    _tails: AllTails | None = field(default=None, init=False)

    def engine(self, settings: EngineSettings) -> GradientEngine:
        """Make an engine."""
        assert isinstance(settings.modes, GradientModes)  # noqa: S101 - chosen by the cost model of this engine
        return GradientEngine(
            model=self.model,
            tracked=settings.tracked,
            loss=settings.loss,
            learning_rate=settings.learning_rate,
            modes=settings.modes,
            preconditioner=settings.preconditioner,
            tails=self._all_tails(settings.tracked, settings.modes) if settings.modes.all_scores else None,
        )

    def _all_tails(self, tracked: frozenset[str], modes: GradientModes) -> AllTails:
        """Give what scores all tails, which is measured once."""
        if self._tails is None or self._tails.tracked.keys() != tracked:
            self._tails = AllTails(self.model, tracked, is_mapped=modes.ways.is_mapped)
        return self._tails


class AutogradEngineKind:
    """The engine of any model that scores triples from rows of its tables."""

    def refuse_unsupported(self, model: RowwiseModel, loss: AnyLoss, options: EngineOptions) -> None:
        """Refuse rounded products, gradient checkpointing, and losses of all scores of a model that cannot give these.

        Raises
        ------
        ConfigError
            With the reason and a way out.
        """
        if reads(loss) == ALL_SCORES and not model.can_score_tails:
            raise ConfigError(
                f"loss {loss.name} reads the scores of all {model.config.num_entities:,} entities as the tail of each "
                f"(head, relation), and {model.why_no_tails}; take bce, slcwa, or a loss of the triple's own score"
            )
        if options.precision not in get_args(WorkingPrecision):
            raise ConfigError(
                f"precision {options.precision} rounds the operands of an engine's own products, and this model is "
                "differentiated automatically; take float32 or float64"
            )
        if options.recompute:
            raise ConfigError(
                "gradient_checkpointing needs an engine that can compute activations again, and this model is "
                "differentiated automatically; a smaller batch_size takes less memory"
            )

    def config_for(self, model: RowwiseModel, loss: AnyLoss) -> ModelConfig:
        """Describe the model, with what the scores of all tails take where the loss reads these."""
        return model.config_with_tails() if reads(loss) == ALL_SCORES else model.config

    def cost(self, config: Any, how: Computing) -> EngineCost:  # noqa: ANN401 - a ScoringConfig
        """Choose the modes with the fewest multiply-adds, and count what they take."""
        return autograd_cost(config, how)

    def layout(self, config: Any, device: torch.device) -> Layout:  # noqa: ANN401 - a ScoringConfig
        """Give the order of the gradients."""
        return layout_of(config, device)

    def ready(self, model: RowwiseModel, *, device: torch.device, precision: Precision) -> ReadyRowwise:  # noqa: ARG002 - always full
        """Bring a loaded model to a device; the caller's stays where it is."""
        return ReadyRowwise(model=model if device.type == "cpu" else deepcopy(model).to(device))


KIND: EngineKind = AutogradEngineKind()
