"""The diagonal P in ⟨∇loss_i, P ∇loss_j⟩: what an optimiser multiplies each parameter's step with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.conve.folded import CONVOLUTION_TENSORS
from tracin_dask.influence.conve.gradient_factors import OutputFactors
from tracin_dask.influence.conve.pair_product import ENTITIES, ENTITY_BIAS, FC_WEIGHT, RELATIONS, EmbeddingRows
from tracin_dask.influence.conve.regions import feature_order
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.scoring import ScoringConfig

Preconditioning = Literal["none", "adam"]
"""P is the identity, for plain gradient descent; or 1 / (√v̂ + ε), for Adam."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preconditioner:
    """P by parameter tensor; without any it is the identity.

    It multiplies factors of gradients that each are the gradient of one tensor. Of a ConvE, what is an outer product,
    fc.weight's gradient and those of entity tables that lie in all rows, meets P in products of their own.
    """

    scales: Mapping[str, Float[Tensor, "..."]] = field(default_factory=dict)
    """In the order that gradients have here; ConvE's fc.weight's is transposed, as its products take it."""

    def check_covers(self, tracked: frozenset[str]) -> None:
        """Refuse to be the preconditioner of some tracked tensors only.

        Raises
        ------
        ConfigError
            Naming the others.
        """
        others = tracked - self.scales.keys()
        if self.scales and others:
            raise ConfigError(f"the preconditioner has nothing for {', '.join(sorted(others))}, which are tracked")

    def __contains__(self, name: str) -> bool:
        """Tell whether a tensor has a P other than the identity."""
        return name in self.scales

    def times(
        self, name: str, gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"] | None = None
    ) -> Float[Tensor, "row width"]:
        """Multiply gradients of a tensor, or of the rows `ids` of one."""
        if name not in self.scales:
            return gradients
        scale = self.scales[name]
        return gradients * (scale if ids is None else scale.index_select(0, ids))

    def times_side_by_side(
        self, names: Sequence[str], gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"]
    ) -> Float[Tensor, "row width"]:
        """Multiply gradients of the rows `ids` of several tables, side by side."""
        scales = [self.scales[name].index_select(0, ids) for name in names if name in self.scales]
        return gradients * torch.cat(scales, dim=1) if scales else gradients

    def squares(self, name: str, gradients: Float[Tensor, "row parameter"]) -> Float[Tensor, " row"]:
        """Compute ⟨∇, P ∇⟩ of each gradient of a tensor, flattened, in one pass: they can be large."""
        if name in self.scales:
            return gradients.square() @ self.scales[name]
        lengths: Tensor = torch.linalg.vector_norm(gradients, dim=1)
        return lengths.square()

    def times_convolution(
        self, tracked: frozenset[str], gradients: Float[Tensor, "row parameter"]
    ) -> Float[Tensor, "row parameter"]:
        """Multiply the gradients of the tracked tensors of bn0, conv1 and bn1, side by side."""
        scales = [self.scales[name] for name in CONVOLUTION_TENSORS if name in tracked and name in self.scales]
        return gradients * torch.cat(scales) if scales else gradients

    def times_output(self, output: OutputFactors) -> OutputFactors:
        """Multiply the gradients of bn2 and of fc.bias."""
        return OutputFactors(
            at_bn2=self.times("bn2.bias", output.at_bn2),
            at_bn2_weight=self.times("bn2.weight", output.at_bn2_weight),
            at_projection=self.times("fc.bias", output.at_projection),
        )

    def times_rows(self, rows: EmbeddingRows) -> EmbeddingRows:
        """Multiply the gradients of rows of embedding tables."""
        heads, relations, tails = rows.triples.unbind(dim=1)
        return replace(
            rows,
            head=self.times(ENTITIES, rows.head, heads),
            relation=self.times(RELATIONS, rows.relation, relations),
            tail=self.times(ENTITIES, rows.tail, tails),
            tail_bias=self.times(ENTITY_BIAS, rows.tail_bias[:, None], tails)[:, 0],
        )


def lay_out_scales(
    scales: Mapping[str, Tensor], config: ConvEConfig, *, device: torch.device | str = "cpu"
) -> Preconditioner:
    """Bring P of tensors, in their shapes as parameters, into the order of their gradients: see `FoldedConvE`."""
    laid_out = dict(scales)
    if FC_WEIGHT in scales:
        laid_out[FC_WEIGHT] = scales[FC_WEIGHT].T.index_select(0, feature_order(config))
    if "conv1.weight" in scales:
        laid_out["conv1.weight"] = scales["conv1.weight"].view(config.output_channels, config.num_taps).T.flatten()
    if ENTITY_BIAS in scales:
        laid_out[ENTITY_BIAS] = scales[ENTITY_BIAS][:, None]
    return Preconditioner(scales={name: scale.to(device).contiguous() for name, scale in laid_out.items()})


def flatten_scales(
    scales: Mapping[str, Tensor], config: ScoringConfig, *, device: torch.device | str = "cpu"
) -> Preconditioner:
    """Bring P of any other model's tensors into the order of their gradients: tables row by row, others flattened."""
    tables = {table.name for table in config.tables}
    return Preconditioner(
        scales={
            name: (scale.reshape(len(scale), -1) if name in tables else scale.flatten()).to(device)
            for name, scale in scales.items()
        }
    )
