"""bergson's methods: cosines of gradients of fc, TrackStar, and EK-FAC."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bench_peers.bergson_fc import FC, OfSequences, collect, run
from bench_peers.methods.question import LossName, Question, named

REQUIREMENT = "bergson>=2.5,<2.6"
BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """Products of gradients of length 1."""

    loss: LossName = "bce"
    requirement: str = REQUIREMENT

    @property
    def name(self) -> str:
        """What a table shows."""
        return named("bergson cosine (fc)", self.loss)

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Multiply the gradients of all pairs."""
        losses = OfSequences(question.losses(self.loss))
        train, test = (
            collect(losses, some, question.folder, BATCH).gradients for some in (question.train, question.test)
        )
        return _cosines(train, test)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackStar:
    """Cosines of random projections to 16 × 16, times H^(-1/2) with H the autocorrelation over the training triples.

    The library's recipe also mixes in the test triples' autocorrelation, and an optimizer's second moments.
    """

    loss: LossName = "bce"
    requirement: str = REQUIREMENT

    @property
    def name(self) -> str:
        """What a table shows."""
        return named("bergson TrackStar (fc)", self.loss)

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Fit H, and multiply all pairs."""
        from bergson import GradientProcessor  # noqa: PLC0415 - bergson may be absent
        from bergson.hessians.preconditioner import DensePreconditioner  # noqa: PLC0415 - bergson may be absent

        losses = OfSequences(question.losses(self.loss))
        processor = GradientProcessor(include_bias=True, projection_dim=16)
        settings = {"processor": processor, "skip_hessians": False}
        train = collect(losses, question.train, question.folder, BATCH, **settings).gradients
        root = DensePreconditioner.from_processor(processor, power=-0.5)
        test = collect(losses, question.test, question.folder, BATCH, processor=processor).gradients
        return _cosines(root.apply(train), root.apply(test))


@dataclass(frozen=True, slots=True, kw_only=True)
class EKFAC:
    """Products with the inverse of an eigenvalue-corrected Kronecker-factored Fisher matrix."""

    loss: LossName = "bce"
    requirement: str = REQUIREMENT

    @property
    def name(self) -> str:
        """What a table shows."""
        return named("bergson EK-FAC (fc)", self.loss)

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Fit the factors with labels that are drawn from the model, and multiply all pairs."""
        from bergson.config import InversionConfig  # noqa: PLC0415 - bergson may be absent
        from bergson.hessians.preconditioner import FactoredPreconditioner  # noqa: PLC0415 - bergson may be absent

        losses = OfSequences(question.losses(self.loss))
        _fit(losses, question, question.folder)
        inverse = FactoredPreconditioner.from_path(question.folder, inversion_cfg=InversionConfig(), ev_correction=True)
        train, test = (
            collect(losses, some, question.folder, BATCH).gradients for some in (question.train, question.test)
        )
        return _products(train, inverse.apply(test))


def _fit(losses: OfSequences, question: Question, folder: Path) -> None:
    """Write the factors' eigenvectors and the corrected eigenvalues, as the library's command does in two passes."""
    from bergson import GradientProcessor  # noqa: PLC0415 - bergson may be absent
    from bergson.hessians.eigenvectors import LambdaCollector, eigendecompose_owned  # noqa: PLC0415 - bergson may be absent
    from bergson.hessians.kfac import CovarianceCollector  # noqa: PLC0415 - bergson may be absent

    settings: dict[str, Any] = {
        "model": losses,
        "processor": GradientProcessor(include_bias=True),
        "target_modules": {FC},
        "dtype": torch.float32,
        "path": str(folder),
    }
    number = len(question.train)
    factors = CovarianceCollector(**settings)
    run(factors, losses.losses.drawn, question.train, BATCH)
    vectors = [
        eigendecompose_owned(covariances, shapes, None, number, str(folder / name), torch.float32)[0]
        for covariances, shapes, name in (
            (factors.A_cov_dict, factors.A_shapes, "eigen_activation_sharded"),
            (factors.S_cov_dict, factors.S_shapes, "eigen_gradient_sharded"),
        )
    ]
    corrected = LambdaCollector(**settings, num_documents=number, eigenvectors=(vectors[0], vectors[1]))
    run(corrected, losses.losses.drawn, question.train, BATCH)


def _cosines(train: dict[str, Tensor], test: dict[str, Tensor]) -> Float[Tensor, "test row"]:
    from bergson.process_grads import normalize_and_aggregate_grads  # noqa: PLC0415 - bergson may be absent

    unit = [
        normalize_and_aggregate_grads(gradients, list(gradients), unit_normalize=True, device=torch.device("cpu"))
        for gradients in (train, test)
    ]
    return _products(*unit)


def _products(train: dict[str, Tensor], test: dict[str, Tensor]) -> Float[Tensor, "test row"]:
    return sum(test[name] @ train[name].T for name in train)
