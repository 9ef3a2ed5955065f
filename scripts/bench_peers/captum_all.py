"""captum's `TracInCP` over all parameters: a backward pass per triple, and products of whole gradients."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bench_peers.peer import Scorer, TripleScores, batches, installed_version, with_labels
from tracin_dask.models.conve.model import ConvE

TESTS_PER_BATCH = 8
MANY_TESTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptumTracInCP:
    """`TracInCP`, without its shortcut for models of convolutions and linear layers only (a ConvE has embeddings).

    It goes back through the whole batch once per triple of it, so with few test triples batches of one triple are
    fastest; with many, their gradients are read once per batch, which asks for more. None chooses.
    """

    name: str = "captum TracInCP"
    tracks: tuple[str, ...] = ("*",)
    requirement: str = "captum>=0.9,<0.10"
    prepares_tests: bool = True
    relative_error: float = 1e-9
    batch_size: int | None = None

    def is_installed(self) -> bool:
        """Tell whether captum is there in a version whose method below is overridden."""
        return installed_version(self.requirement) is not None

    def prepare(self, model: ConvE, test: Int[Tensor, "test 3"], folder: Path) -> Scorer:  # noqa: ARG002 - Peer's signature
        """Differentiate every test triple's loss once, not in every call as `influence` does by itself."""
        scores = TripleScores(model)
        tests = batches(with_labels(model, test), TESTS_PER_BATCH)
        gradients: list[tuple[Tensor, ...]] = []
        size = self.batch_size or (1 if len(test) < MANY_TESTS else 16)

        def score(rows: Int[Tensor, "rows 3"]) -> Float[Tensor, "rows test"]:
            train = batches(with_labels(model, rows), size)
            found: Tensor = _tracincp(scores, train, gradients, len(test)).influence(tests)
            return found.T

        score(test[:1])
        return score


def _tracincp(scores: TripleScores, train: Any, gradients: list[tuple[Tensor, ...]], num_tests: int) -> Any:  # noqa: ANN401 - captum may be absent
    from captum.influence import TracInCP  # noqa: PLC0415 - captum may be absent

    class WithTestGradients(TracInCP):
        """Takes the test triples' gradients from `gradients`, and fills it at the first call, in place."""

        def _get_checkpoint_jacobians(self, inputs_dataset: Any, *_: Any) -> list[tuple[Tensor, ...]]:  # noqa: ANN401 - captum's signature
            if not gradients:
                made = tuple(torch.empty(num_tests, *p.shape, dtype=p.dtype) for p in self.model.parameters())
                start = 0
                for inputs, labels in inputs_dataset:
                    found = self._basic_computation_tracincp((inputs,), labels, self.test_loss_fn, "none")
                    for target, source in zip(made, found, strict=True):
                        target[start : start + len(inputs)] = source
                    start += len(inputs)
                gradients.append(made)
            return gradients

    return WithTestGradients(
        scores,
        train,
        ["the model as it is"],
        checkpoints_load_func=_leave,
        loss_fn=nn.BCEWithLogitsLoss(reduction="none"),
    )


def _leave(_model: nn.Module, _checkpoint: str) -> float:
    """Load nothing: the model is there; the learning rate is 1."""
    return 1.0
