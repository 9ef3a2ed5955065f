"""bergson's hooks on the last linear layer: gradients of single triples, multiplied while they are collected."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench_peers.peer import Scorer, TripleLosses, TripleScores, installed_version
from tracin_dask.models.conve.model import ConvE

Loss: TypeAlias = Callable[[Int[Tensor, "batch 3"]], Float[Tensor, " batch"]]
FC = "losses.conve.fc.linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bergson:
    """An `InMemoryCollector` with a `Scorer`. It adds products up in float32, whatever the model's numbers are.

    Its commands take language models only; its hooks take linear layers whose inputs are sequences, here of one place.
    They refuse the images of conv1, and leave embeddings out.
    """

    name: str = "bergson"
    tracks: tuple[str, ...] = ("fc.*",)
    requirement: str = "bergson>=2.5,<2.6"
    prepares_tests: bool = True
    relative_error: float = 1e-5
    batch_size: int = 128

    def is_installed(self) -> bool:
        """Tell whether bergson is there."""
        return installed_version(self.requirement) is not None

    def prepare(self, model: ConvE, test: Int[Tensor, "test 3"], folder: Path) -> Scorer:
        """Collect the test triples' gradients, whole."""
        from bergson import Scorer as ProductScorer  # noqa: PLC0415 - bergson may be absent
        from bergson.score.score_writer import InMemorySequenceScoreWriter  # noqa: PLC0415 - bergson may be absent

        losses = OfSequences(TripleLosses(model))
        tests = collect(losses, test, folder, self.batch_size).gradients
        dtype = model.fc.weight.dtype

        def score(rows: Int[Tensor, "rows 3"]) -> Float[Tensor, "rows test"]:
            writer = InMemorySequenceScoreWriter(len(rows), len(test), dtype=dtype)
            scorer = ProductScorer(tests, [FC], writer, torch.device("cpu"), dtype)
            return collect(losses, rows, folder, self.batch_size, scorer=scorer).scores

        return score


class OfSequences(nn.Module):
    """A module of a ConvE whose fc gets a sequence of one place for each triple, and alone is differentiated."""

    def __init__(self, losses: TripleScores) -> None:
        """Take the module, and change it."""
        super().__init__()
        self.losses = losses.requires_grad_(requires_grad=False)
        losses.conve.fc = OfOnePlace(losses.conve.fc.requires_grad_())

    def forward(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute what the module does."""
        found: Tensor = self.losses(triples)
        return found

    @property
    def device(self) -> torch.device:
        """Where bergson computes."""
        return next(self.parameters()).device


class OfOnePlace(nn.Module):
    """A linear layer that gets each of its inputs as a sequence of one place."""

    def __init__(self, linear: nn.Linear) -> None:
        """Keep the layer."""
        super().__init__()
        self.linear = linear

    def forward(self, inputs: Float[Tensor, "batch features"]) -> Float[Tensor, "batch dim"]:
        """Compute what the layer does."""
        outputs: Tensor = self.linear(inputs[:, None])
        return outputs[:, 0]


def collect(losses: OfSequences, triples: Int[Tensor, "rows 3"], folder: Path, size: int, **more: Any) -> Any:  # noqa: ANN401 - bergson may be absent
    """Go through triples with an `InMemoryCollector`, which then has their gradients, or their scores."""
    from bergson import GradientProcessor, IndexConfig, InMemoryCollector  # noqa: PLC0415 - bergson may be absent
    from datasets import Dataset  # noqa: PLC0415 - bergson may be absent

    collector = InMemoryCollector(
        model=losses,
        data=Dataset.from_dict({"row": range(len(triples))}),
        cfg=IndexConfig(run_path=str(folder)),
        target_modules={FC},
        **{"processor": GradientProcessor(include_bias=True)} | more,
    )
    run(collector, losses, triples, size)
    return collector


def run(collector: Any, losses: Loss, triples: Int[Tensor, "rows 3"], size: int) -> None:  # noqa: ANN401 - bergson may be absent
    """Go forward and backward through triples, as bergson does through the documents of a language model."""
    for indices, batch in _batches(triples, size):
        with collector.with_batch(torch.ones(len(batch), 1, dtype=torch.bool)):
            found = losses(batch)
            found.sum().backward()
        collector.model.zero_grad()
        collector.process_batch(indices, losses=found)
    collector.teardown()


def _batches(triples: Int[Tensor, "rows 3"], size: int) -> Iterator[tuple[list[int], Tensor]]:
    for start, batch in zip(range(0, len(triples), size), triples.split(size), strict=True):
        yield list(range(start, start + len(batch))), batch
