"""The closed-form engine of ConvE as the rest of the project sees it."""

from dataclasses import dataclass, field
from typing import Any

import torch

from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.engine_cost import conve_cost
from tracin_dask.influence.conve.folded import FoldedConvE, fold
from tracin_dask.influence.conve.jacobians import RelationTable, relation_table
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.preconditioned import layout_of
from tracin_dask.influence.cost import Computing, EngineCost
from tracin_dask.influence.engine import EngineKind, EngineOptions, EngineSettings
from tracin_dask.influence.losses import AnyLoss
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.preconditioners.base import Layout
from tracin_dask.models.config import ModelConfig
from tracin_dask.models.conve.model import ConvE


@dataclass(slots=True, kw_only=True)
class ReadyConvE:
    """A folded ConvE, and its relation table once an engine asks for that."""

    model: FoldedConvE
    precision: Precision
    _relations: RelationTable | None = field(default=None, init=False)

    def engine(self, settings: EngineSettings) -> PairEngine:
        """Make an engine."""
        assert isinstance(settings.modes, Modes)  # noqa: S101 - chosen by the cost model of this engine
        return PairEngine(
            model=self.model,
            tracked=settings.tracked,
            loss=settings.loss,
            learning_rate=settings.learning_rate,
            preconditioner=settings.preconditioner,
            precision=self.precision,
            recompute=settings.recompute,
            modes=settings.modes,
            relations=self._relation_table() if settings.modes.relation_table else None,
        )

    def _relation_table(self) -> RelationTable | None:
        """Give the relation table, made once; None where no region sees the relation alone."""
        if self._relations is None:
            with torch.no_grad():
                self._relations = relation_table(self.model, self.precision)
        return self._relations


class ConvEEngineKind:
    """The engine of ConvE in either dialect: every loss, precision and option."""

    def refuse_unsupported(self, model: ConvE, loss: AnyLoss, options: EngineOptions) -> None:
        """Refuse nothing: this engine has all options."""

    def config_for(self, model: ConvE, loss: AnyLoss) -> ModelConfig:  # noqa: ARG002 - the same for every loss
        """Give the sizes."""
        return model.config

    def cost(self, config: Any, how: Computing) -> EngineCost:  # noqa: ANN401 - a ConvEConfig
        """Choose the modes with the fewest multiply-adds, and count what they take."""
        return conve_cost(config, how)

    def layout(self, config: Any, device: torch.device) -> Layout:  # noqa: ANN401 - a ConvEConfig
        """Give the order of the gradients."""
        return layout_of(config, device)

    def ready(self, model: ConvE, *, device: torch.device, precision: Precision) -> ReadyConvE:
        """Fold a loaded model."""
        return ReadyConvE(model=fold(model, device=device, precision=precision), precision=precision)


KIND: EngineKind = ConvEEngineKind()
