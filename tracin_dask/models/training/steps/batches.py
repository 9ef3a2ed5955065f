"""The batches of an epoch: shuffled by its seed, and cut where the model is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from tracin_dask.models.training.settings import TrainingConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """The triples of an epoch's batches, on the model's device.

    The triples lie there, too, and a batch is one call; but where processes cut the batches, the triples lie on the CPU
    and each batch is sent, without the host waiting for it.
    """

    train: Int[Tensor, "row 3"]
    rows: Sequence[Int[Tensor, " _"]]
    device: torch.device
    num_workers: int

    @classmethod
    def of(cls, train: Int[Tensor, "row 3"], config: TrainingConfig, *, seed: int, device: torch.device) -> "Batches":
        """Shuffle the triples that `place_triples` placed."""
        rows = shuffled_rows(len(train), config.batch_size, torch.Generator().manual_seed(seed))
        return cls(train=train, rows=rows, device=device, num_workers=config.num_workers)

    def __len__(self) -> int:
        """Count the batches."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Int[Tensor, "batch 3"]]:
        """Give the batches in order."""
        return self._sent() if self.num_workers else self._cut()

    def _cut(self) -> Iterator[Int[Tensor, "batch 3"]]:
        order = torch.cat(list(self.rows)).to(self.device)
        for rows in torch.split(order, [len(rows) for rows in self.rows]):
            yield self.train.index_select(0, rows)

    def _sent(self) -> Iterator[Int[Tensor, "batch 3"]]:
        loader: DataLoader[tuple[Tensor, ...]] = DataLoader(
            TensorDataset(self.train),
            sampler=self.rows,
            batch_size=None,
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # else it draws from the generator of the dropout
        )
        for (batch,) in loader:
            yield batch.to(self.device, non_blocking=True)


def place_triples(
    triples: Int[np.ndarray, "row 3"], config: TrainingConfig, device: torch.device
) -> Int[Tensor, "row 3"]:
    """Bring training triples to where batches are cut: to the device once, or nowhere where processes cut them."""
    placed = torch.from_numpy(np.ascontiguousarray(triples, dtype=np.int64))
    return placed if config.num_workers else placed.to(device)


def shuffled_rows(num_rows: int, batch_size: int, generator: torch.Generator) -> list[Int[Tensor, " _"]]:
    """Shuffle row numbers and cut them into batches.

    A last batch of one joins its neighbour: batch norm cannot normalise a single row.
    """
    batches = list(torch.split(torch.randperm(num_rows, generator=generator), batch_size))
    if len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def derive_seed(random_seed: int, purpose: int) -> int:
    """Give an independent seed for each purpose: 0 draws the first weights, n serves the n-th epoch."""
    return int(np.random.SeedSequence((random_seed, purpose)).generate_state(1, np.uint64)[0]) >> 1
