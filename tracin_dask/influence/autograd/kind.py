"""The engine of any model, by automatic differentiation, as the rest of the project sees it."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.engine_cost import autograd_cost
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.cost import Computing, EngineCost
from tracin_dask.influence.engine import EngineKind, EngineOptions, EngineSettings
from tracin_dask.influence.losses import AnyLoss, reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.influence.precision import Precision, WorkingPrecision
from tracin_dask.influence.preconditioners.diagonal import Preconditioner, flatten_scales
from tracin_dask.models.rowwise import RowwiseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyRowwise:
    """A model on its device, with its preconditioner."""

    model: RowwiseModel
    preconditioner: Preconditioner

    def engine(self, settings: EngineSettings) -> GradientEngine:
        """Make an engine."""
        assert isinstance(settings.modes, GradientModes)  # noqa: S101 - chosen by the cost model of this engine
        return GradientEngine(
            model=self.model,
            tracked=settings.tracked,
            loss=settings.loss,
            learning_rate=settings.learning_rate,
            modes=settings.modes,
            preconditioner=self.preconditioner,
        )


class AutogradEngineKind:
    """The engine of any model that scores triples from rows of its tables."""

    def refuse_unsupported(self, config: Any, loss: AnyLoss, options: EngineOptions) -> None:  # noqa: ANN401 - a ScoringConfig
        """Refuse rounded products, gradient checkpointing, and losses of all scores.

        Raises
        ------
        ConfigError
            With the reason and a way out.
        """
        if reads(loss) == ALL_SCORES:
            raise ConfigError(
                f"loss {loss.name} needs the scores of all {config.num_entities:,} entities for every (head, "
                "relation), which other models give one triple at a time only: that many times the work of any other "
                "loss; take bce, slcwa, or a loss of your own"
            )
        if options.precision not in get_args(WorkingPrecision):
            raise ConfigError(f"precision {options.precision} is of ConvE's big products; take float32 or float64")
        if options.recompute:
            raise ConfigError(
                "gradient_checkpointing is of ConvE's feature map; a smaller batch_size takes less memory"
            )

    def cost(self, config: Any, how: Computing) -> EngineCost:  # noqa: ANN401 - a ScoringConfig
        """Choose the modes with the fewest multiply-adds, and count what they take."""
        return autograd_cost(config, how)

    def ready(
        self,
        model: RowwiseModel,
        scales: Mapping[str, Tensor],
        *,
        device: torch.device,
        precision: Precision,  # noqa: ARG002 - always full
    ) -> ReadyRowwise:
        """Bring a loaded model to a device; the caller's stays where it is."""
        return ReadyRowwise(
            model=model if device.type == "cpu" else deepcopy(model).to(device),
            preconditioner=flatten_scales(scales, model.config, device=device),
        )


KIND: EngineKind = AutogradEngineKind()
