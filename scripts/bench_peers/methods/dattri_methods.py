"""dattri's methods: cosines of projected gradients, TRAK, and influence functions with several inverse Hessians."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from bench_peers.dattri_products import as_batches
from bench_peers.methods.question import LossName, Margins, Question, named
from bench_peers.peer import TripleScores

REQUIREMENT = "dattri>=0.3,<0.4"
BATCH, HESSIAN_ROWS = 256, 512
PROJECTED, TESTS_AT_A_TIME = 512, 16
Values: TypeAlias = dict[str, Tensor]
HessianName: TypeAlias = Literal["EK-FAC", "DataInf", "CG"]
HESSIANS: tuple[HessianName, ...] = ("EK-FAC", "DataInf", "CG")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine:
    """`TracInAttributor` with normalised gradients, which it projects at random to 512 numbers."""

    loss: LossName = "bce"
    requirement: str = REQUIREMENT

    @property
    def name(self) -> str:
        """What a table shows."""
        return named("dattri Grad-Cos", self.loss)

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Multiply the gradients of all pairs."""
        from dattri.algorithm import TracInAttributor  # noqa: PLC0415 - dattri may be absent

        losses = question.losses(self.loss)
        attributor = TracInAttributor(
            _task(losses), torch.ones(1), normalized_grad=True, projector_kwargs={"proj_dim": PROJECTED}
        )
        found: Tensor = attributor.attribute(*_loaders(question))
        return found.T


@dataclass(frozen=True, slots=True, kw_only=True)
class TRAK:
    """TRAK of one model: random projections to 512 numbers of the gradients of margins."""

    name: str = "dattri TRAK"
    requirement: str = REQUIREMENT

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Multiply the gradients of all pairs."""
        from dattri.algorithm import TRAKAttributor  # noqa: PLC0415 - dattri may be absent

        margins = Margins(question.model)
        attributor = TRAKAttributor(
            _task(margins), _of(margins, torch.sigmoid), projector_kwargs={"proj_dim": PROJECTED}
        )
        train, test = _loaders(question)
        attributor.cache(train)
        found: Tensor = attributor.attribute(test)
        return found.T


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluenceFunction:
    """∇ loss(training triple) · H⁻¹ ∇ loss(test triple), with an approximation of the inverse Hessian.

    The library's damping is 0 for all of them. It is set to a tenth of EK-FAC's mean eigenvalue, and to a tenth of the
    gradients' second moments for those that compute no eigenvalues.
    """

    hessian: HessianName
    loss: LossName = "bce"
    requirement: str = REQUIREMENT

    @property
    def name(self) -> str:
        """What a table shows."""
        return named(f"dattri {self.hessian}" + (" (fc)" if self.hessian == "EK-FAC" else ""), self.loss)

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Multiply all pairs."""
        from dattri import algorithm  # noqa: PLC0415 - dattri may be absent

        losses = question.losses(self.loss)
        task, (train, _) = _task(losses), _loaders(question)
        if self.hessian == "EK-FAC":
            attributor = algorithm.IFAttributorEKFAC(task, ["conve.fc"])
            attributor.cache(train)
            attributor.damping = float(attributor.cached_lambdas["conve.fc"].mean()) / 10
        else:
            damping = _second_moment(losses, question.train) / 10
            attributor = {
                "CG": algorithm.IFAttributorCG,
                "DataInf": algorithm.IFAttributorDataInf,
            }[self.hessian](task, regularization=damping)
            attributor.cache(as_batches(question.some_rows(HESSIAN_ROWS), HESSIAN_ROWS))
        with torch.no_grad():  # torch.func differentiates all the same, and nothing is kept
            return _inner_products(attributor, question)


def _inner_products(attributor: Any, question: Question) -> Float[Tensor, "test row"]:  # noqa: ANN401 - dattri may be absent
    """Multiply what `attribute` does, which would apply the inverse Hessian anew for each batch of rows."""
    tests = attributor.generate_test_rep(0, (question.test[None],))
    applied = [attributor.transform_test_rep(0, some) for some in tests.split(TESTS_AT_A_TIME)]
    rows = [
        attributor.transform_train_rep(0, attributor.generate_train_rep(0, (some[None],)))
        for some in question.train.split(BATCH)
    ]
    return torch.cat(applied) @ torch.cat(rows).T


def _loaders(question: Question) -> tuple[Any, Any]:
    return as_batches(question.train, BATCH), as_batches(question.test, len(question.test))


def _of(
    module: TripleScores, value: Callable[[Tensor], Tensor] = torch.mean
) -> Callable[[Values, tuple[Tensor]], Tensor]:
    """Make a function of parameters and one batch, or one triple, as the library differentiates it."""

    def function(values: Values, data: tuple[Tensor]) -> Tensor:
        return value(functional_call(module, values, (data[0].reshape(-1, 3),)))

    return function


def _task(module: TripleScores) -> Any:  # noqa: ANN401 - dattri may be absent
    from dattri.task import AttributionTask  # noqa: PLC0415 - dattri may be absent

    return AttributionTask(_of(module), module, module.state_dict())


def _second_moment(losses: TripleScores, train: Int[Tensor, "row 3"]) -> float:
    """Give the mean over parameters and some training triples of their gradients' squares."""
    squares, number = 0.0, 100
    for triple in train[:: max(1, len(train) // number)][:number].split(1):
        found = torch.autograd.grad(losses(triple).sum(), list(losses.parameters()))
        squares += sum(float(gradient.square().sum()) for gradient in found)
    return squares / number / sum(parameter.numel() for parameter in losses.parameters())
