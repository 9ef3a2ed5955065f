"""Several ConvE models of one configuration as stacked tensors."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.models.conve.model import ConvE, ConvEConfig

ENTITIES, RELATIONS = "entity_embeddings.weight", "relation_embeddings.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the trained tensors of a model lie in its row of numbers.

    The tables come first, and the length of a row is a multiple of the dimension. So the rows of the tables of all
    models are rows of one matrix: one lookup reads them, and its backward step writes their gradients in place.
    """

    config: ConvEConfig
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, config: ConvEConfig) -> "Layout":
        """Lay out the tensors of a configuration."""
        with torch.device("meta"):
            found = dict(ConvE(config).named_parameters())
        return cls(config=config, shapes={name: tuple(found[name].shape) for name in config.parameter_names})

    @property
    def length(self) -> int:
        """Numbers of a model's row; those at the end may be unused."""
        dim = self.config.embedding_dim
        return -(-sum(map(math.prod, self.shapes.values())) // dim) * dim

    def places(self) -> Iterator[tuple[str, slice]]:
        """Give the name and the place of every tensor."""
        start = 0
        for name, shape in self.shapes.items():
            yield name, slice(start, start + math.prod(shape))
            start += math.prod(shape)

    def split(self, numbers: Float[Tensor, "model number"]) -> dict[str, Tensor]:
        """Give each tensor [model, ...] as a view of the rows."""
        return {
            name: numbers[:, place].view(len(numbers), *self.shapes[name])  # of one row after the other
            for name, place in self.places()
        }

    def table_rows(
        self, head: Int[Tensor, "model batch"], relation: Int[Tensor, "model batch"]
    ) -> tuple[Int[Tensor, "model batch"], Int[Tensor, "model batch"]]:
        """Give the rows of heads and relations in the matrix [model * length / dim, dim] of all numbers."""
        rows_per_model = self.length // self.config.embedding_dim
        first = torch.arange(len(head), device=head.device)[:, None] * rows_per_model
        return first + head, first + self.config.num_entities + relation


@dataclass(frozen=True, slots=True, kw_only=True)
class StackedModels:
    """The weights and the batch norm statistics of M models; the tensors change while the models are trained."""

    layout: Layout
    numbers: Float[Tensor, "model number"]
    """The trained tensors of each model in its row."""
    buffers: Mapping[str, Tensor]
    """Running means, running variances and numbers of batches [model, ...], by their names in a ConvE."""

    @classmethod
    def of(cls, models: Sequence[ConvE]) -> "StackedModels":
        """Copy models of the same configuration."""
        layout = Layout.of(models[0].config)
        states = [model.state_dict() for model in models]
        numbers = torch.zeros(len(models), layout.length, dtype=models[0].dtype, device=models[0].device)
        for row, state in zip(numbers, states, strict=True):
            for name, place in layout.places():
                row[place] = state[name].flatten()
        buffers = {name: torch.stack([state[name] for state in states]) for name, _ in models[0].named_buffers()}
        return cls(layout=layout, numbers=numbers, buffers=buffers)

    @classmethod
    def joined(cls, groups: Sequence["StackedModels"]) -> "StackedModels":
        """Put groups of models of the same configuration one after the other."""
        return cls(
            layout=groups[0].layout,
            numbers=torch.cat([group.numbers for group in groups]),
            buffers={name: torch.cat([group.buffers[name] for group in groups]) for name in groups[0].buffers},
        )

    def __len__(self) -> int:
        """Count the models."""
        return len(self.numbers)

    @property
    def config(self) -> ConvEConfig:
        """The sizes of each model."""
        return self.layout.config

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The trained tensors [model, ...] by name, as views."""
        return self.layout.split(self.numbers)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "StackedModels":
        """Copy the models to a device, in another number type if one is given."""
        buffers = {
            name: tensor.to(device, dtype if tensor.is_floating_point() else None)
            for name, tensor in self.buffers.items()
        }
        return StackedModels(layout=self.layout, numbers=self.numbers.to(device, dtype), buffers=buffers)

    def select(self, models: slice | Int[Tensor, " selected"]) -> "StackedModels":
        """Give some of the models: views for a slice, copies for numbers."""
        buffers = {name: tensor[models] for name, tensor in self.buffers.items()}
        return StackedModels(layout=self.layout, numbers=self.numbers[models], buffers=buffers)

    def state_dict(self, index: int) -> dict[str, Tensor]:
        """Copy a model's tensors under the names, and in the order, of a ConvE's."""
        own = {name: tensor[index] for name, tensor in {**self.tensors, **self.buffers}.items()}
        if not self.config.has_convolution_bias:
            own["conv1.bias"] = torch.zeros_like(own["bn1.bias"])
        with torch.device("meta"):
            names = list(ConvE(self.config).state_dict())
        return {name: own[name].detach().clone() for name in names}

    def model(self, index: int) -> ConvE:
        """Copy a model, in eval mode."""
        model = ConvE(self.config).to(device=self.numbers.device, dtype=self.numbers.dtype)
        model.load_state_dict(self.state_dict(index))
        return model.eval()
