"""The batches and the dropout of trainings side by side, drawn as each training alone draws them."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.models.conve.model import ConvEConfig, Dropout
from tracin_dask.models.stacked.forward import Masks, Pairs
from tracin_dask.models.training.steps.batches import shuffled_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch of each model that has one left in this epoch; these are the first ones."""

    pairs: Pairs
    tail: Int[Tensor, "model batch"]
    counts: Float[Tensor, " model"]
    masks: Masks

    def __len__(self) -> int:
        """Count the models."""
        return len(self.tail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """From what batches are drawn, the same in each epoch."""

    triples: Sequence[Int[Tensor, "_ 3"]]
    """The training triples of each model; those with more batches come first."""
    batch_size: int
    config: ConvEConfig
    dropout: Dropout
    like: Tensor
    """A tensor of the type and on the device of the numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochBatches:
    """The batches of one epoch.

    A training alone draws the order of its rows and, from a second generator with the same seed, the dropout of its
    batches. So does this, with two generators for each model. They are on the CPU, so that a device changes nothing.
    """

    drawing: Drawing
    rows: Sequence[Sequence[Int[Tensor, " _"]]]
    generators: Sequence[torch.Generator]

    @classmethod
    def of(cls, drawing: Drawing, seeds: Sequence[int]) -> "EpochBatches":
        """Shuffle the rows of each model; `seeds` are those of this epoch."""
        order, dropout = ([torch.Generator().manual_seed(seed) for seed in seeds] for _ in range(2))
        rows = [
            shuffled_rows(len(triples), drawing.batch_size, generator)
            for triples, generator in zip(drawing.triples, order, strict=True)
        ]
        return cls(drawing=drawing, rows=rows, generators=dropout)

    def __len__(self) -> int:
        """Count the batches of the model that has the most."""
        return len(self.rows[0])

    def __iter__(self) -> Iterator[Batch]:
        """Give the batches in order."""
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for step in range(len(self)):
                yield self._batch(step, pool)

    def _batch(self, step: int, pool: ThreadPoolExecutor) -> Batch:
        drawn = [
            own[batches[step]]
            for own, batches in zip(self.drawing.triples, self.rows, strict=True)
            if step < len(batches)
        ]
        counts = torch.tensor([len(one) for one in drawn])
        triples = torch.nn.utils.rnn.pad_sequence(drawn, batch_first=True).to(self.drawing.like.device)
        valid = (torch.arange(triples.shape[1]) < counts[:, None]).to(self.drawing.like)
        head, relation, tail = triples.unbind(dim=2)
        return Batch(
            pairs=Pairs(head=head, relation=relation, valid=valid),
            tail=tail.contiguous(),
            counts=counts.to(self.drawing.like),
            masks=self._masks(counts.tolist(), pool),
        )

    def _masks(self, counts: list[int], pool: ThreadPoolExecutor) -> Masks:
        """Draw in the order of a training alone: image, maps, projection."""
        rates = (self.drawing.dropout.input, self.drawing.dropout.feature_map, self.drawing.dropout.output)
        sizes = (
            2 * self.drawing.config.embedding_dim,
            self.drawing.config.output_channels,
            self.drawing.config.embedding_dim,
        )
        shapes = [(len(counts), max(counts), size) for size in sizes]
        kept = [
            torch.zeros(shape, dtype=self.drawing.like.dtype) if rate else None
            for shape, rate in zip(shapes, rates, strict=True)
        ]

        def draw(model: int) -> None:
            for mask, rate in zip(kept, rates, strict=True):
                if mask is not None:
                    mask[model, : counts[model]].bernoulli_(1 - rate, generator=self.generators[model])

        list(pool.map(draw, range(len(counts))))
        image, maps, projection = (None if mask is None else mask.to(self.drawing.like.device) for mask in kept)
        return Masks(
            image=None if image is None else image.div_(1 - rates[0]),
            map_limit=None if maps is None else _limit(maps.mT.contiguous()),
            map_scale=1 / (1 - rates[1]),
            projection=None if projection is None else projection.mT.contiguous().div_(1 - rates[2]),
        )


def _limit(kept: Float[Tensor, "model channel batch"]) -> Float[Tensor, "model channel batch"]:
    """Give 0 for 0 and infinity for 1."""
    return torch.full_like(kept, torch.inf).masked_fill_(kept == 0, 0.0)
