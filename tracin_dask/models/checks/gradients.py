"""The comparison of a model's gradients with those that its engine makes, before anything is explained with them.

The truth is plain autograd on the whole model, in its first call. The same triples are then asked after other calls, in
parts, in training mode, and from the rows that they read, in two orders, so that no id stands at its own place in both.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Generic, TypeVar

import torch
import torch.utils.checkpoint
from torch import nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checks.agreement import are_equal, different_tensor, different_tensors
from tracin_dask.models.checks.copies import OWN, Values, copy_with, kinds_for
from tracin_dask.models.checks.derivatives import (
    Asked,
    Found,
    along,
    of_each_mapped,
    of_rows,
    of_whole_model,
    scores_mapped,
    scores_of,
)
from tracin_dask.models.checks.sampled import sampled_triples
from tracin_dask.models.effort import effort_of
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.models.scoring import EVERY_WAY, DerivativeWays

Given = TypeVar("Given")
_SEED = 2
TABLE_RULE = (
    "every tensor that has a row per entity or relation must be among its tables, buffers included, and a score may "
    "depend on ids only through these rows"
)
_FEWEST_ALONE, _MOST_ALONE, _NUMBERS_ALONE = 2, 8, 2**23
"""Triples that are asked one by one, and the numbers of all their gradients."""
_NUM_MAPPED = 2
"""Triples whose gradients are made in one call."""
_CONTROL_FLOW = "vmap: It looks like you're"
"""How torch starts to say that the values of a tensor decide what is computed."""
_SAME_IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._NormBase)  # noqa: SLF001 - they have no public name
"""Modules that are left in eval mode, because they do something else in training mode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt(Generic[Given]):
    """What the code of a user's model gave, or else what it raised."""

    value: Given | None = None
    error: Exception | None = None

    @property
    def reason(self) -> str:
        """Say what it raised."""
        raised = (self.error and self.error.__cause__) or self.error
        return f"{type(raised).__name__}: {raised}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What plain autograd says about some triples of a model with random values."""

    model: RowwiseModel
    """With these values; it is never called, but every check calls a copy of its own."""
    asked: Asked
    expected: Found

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.model.face.name

    @property
    def num_alone(self) -> int:
        """How many triples are asked one by one: fewer where a gradient is large."""
        size = sum(part.numel() for part in self.expected.gradients.values())
        return max(_FEWEST_ALONE, min(_MOST_ALONE, _NUMBERS_ALONE // max(1, size)))


def check_gradients(model: RowwiseModel) -> DerivativeWays:
    """Compare the gradients of a model's scores with those that an engine makes, and tell in which ways it can.

    Raises
    ------
    CheckpointError
        Saying why the scores or gradients are not those of the rows that a triple reads.
    """
    truth = _truth_of(model)
    _refuse_kept_results(truth)
    _refuse_other_triples(truth)
    _refuse_other_gradients_in_training(truth)
    _refuse_other_rows(truth)
    return _ways(truth)


def _truth_of(model: RowwiseModel) -> Truth:
    """Ask plain autograd, with the first values that give finite scores and gradients."""
    tried: Attempt[Truth] = Attempt()
    for values, has_loop in product(kinds_for(model), (True, False)):
        tried = _tried(partial(_asked_of, model, values, has_loop=has_loop))
        truth = tried.value
        if truth is not None and truth.expected.is_finite and (_has_gradients(truth.expected) or values == OWN):
            return truth
    if isinstance(tried.error, CheckpointError):
        raise tried.error
    problem = "gives scores or gradients that are NaN or infinite"
    if tried.error is not None:
        problem = f"cannot be differentiated: {tried.reason}"
    raise CheckpointError(f"{model.face.name} {problem}") from tried.error


def _asked_of(model: RowwiseModel, values: Values, *, has_loop: bool) -> Truth:
    never_called = copy_with(model, values)
    measured, copied = never_called.copied(), never_called.copied()
    effort = effort_of(lambda number: scores_of(measured, measured.some_triples(number)))
    triples = sampled_triples(copied, effort, has_loop=has_loop)
    weights = 0.5 + torch.rand(len(triples), generator=torch.Generator().manual_seed(_SEED), dtype=torch.float64)
    asked = Asked(triples=triples, weights=weights.to(copied.dtype).to(copied.device))
    return Truth(model=never_called, asked=asked, expected=of_whole_model(copied, asked))


def _refuse_kept_results(truth: Truth) -> None:
    """Refuse a model that gives something else after other calls than in its first one."""
    copied, others = truth.model.copied(), truth.asked.flipped()

    def after_calls() -> Found:
        with torch.no_grad():
            copied.score(others.triples)
        of_whole_model(copied, others)
        return of_whole_model(copied, truth.asked)

    tried = _tried(after_calls)
    wrong = _difference(tried, truth)
    what = wrong and f"{_gradients_of(wrong)} are others in a later call"
    if tried.error is not None:
        what = f"a later call raises {tried.reason}"
    if what:
        raise CheckpointError(
            f"{truth.name} keeps results from one call to the next in eval mode, as a cache does, or draws random "
            f"numbers ({what}): gradients would be lost; compute everything anew in each call, and draw nothing"
        ) from tried.error


def _refuse_other_triples(truth: Truth) -> None:
    """Refuse a model whose scores depend on the other triples of a batch."""
    copied = truth.model.copied()
    wrong = _difference(_tried(lambda: _in_parts(truth, lambda part: of_whole_model(copied, part))), truth)
    if wrong:
        raise CheckpointError(
            f"{truth.name} gives a triple another score or gradient in a smaller batch ({wrong}): a score must not "
            "depend on the other triples of a batch"
        )


def _refuse_other_gradients_in_training(truth: Truth) -> None:
    """Refuse a model that computes from numbers without their gradients in eval mode, but not in training mode."""
    copied = truth.model.copied().train()
    for module in copied.modules():
        if isinstance(module, _SAME_IN_TRAINING):
            module.eval()
    with torch.random.fork_rng(devices=[]):
        found = _tried(lambda: of_whole_model(copied, truth.asked)).value
    if found is None:  # training mode can need what scoring a few triples does not give
        return
    if are_equal(found.scores, truth.expected.scores):
        wrong = different_tensor(found, truth.expected)
    else:
        lost = (name for name, part in truth.expected.gradients.items() if not part.any())
        wrong = next((name for name in lost if found.gradients[name].any()), None)
    if wrong:
        raise CheckpointError(
            f"{truth.name}: {_gradients_of(wrong)} in eval mode are not those of training mode, as with a cache of "
            "results without their gradients; compute scores in eval mode as in training, from the parameters"
        )


def _refuse_other_rows(truth: Truth) -> None:
    """Refuse a model whose scores are no function of the rows that a triple reads in the tables."""
    copied, flipped = truth.model.copied(), truth.asked.flipped()
    orders: list[Callable[[], Found]] = [
        lambda: of_rows(copied, truth.asked),
        lambda: of_rows(copied, flipped).flipped(),
        lambda: _in_parts(truth, lambda part: of_rows(copied, part)),
    ]
    if truth.model.tables.keys() & truth.expected.gradients.keys():
        orders.append(lambda: of_rows(copied, truth.asked, by_dense=False))
    for order in orders:
        tried = _tried(order)
        wrong = _difference(tried, truth)
        if wrong is None:
            continue
        _refuse_message_passing(truth)
        if _is_computed_again(tried.error):
            raise CheckpointError(
                f"{truth.name} computes activations again in the backward pass, when it has other tensors than in the "
                "forward pass: leave torch.utils.checkpoint out of its score"
            )
        rows = f"the rows of {', '.join(truth.model.tables) or 'no table'}"
        problem = f"gives other {_gradients_of(wrong)} from {rows} than as a whole"
        if tried.error is not None:
            problem = f"cannot be scored from {rows} alone, where it raises {wrong}"
        raise CheckpointError(f"{truth.name} {problem}: {TABLE_RULE}")


def _is_computed_again(error: Exception | None) -> bool:
    """Tell whether an error comes from activations that are computed again in the backward pass."""
    frames = traceback.walk_tb(None if error is None else error.__traceback__)
    return any(frame.f_code.co_filename == torch.utils.checkpoint.__file__ for frame, _ in frames)


def _refuse_message_passing(truth: Truth) -> None:
    """Refuse a model whose scores have gradients in rows that their triples do not name."""
    for name, role in truth.model.tables.items():
        gradient = truth.expected.gradients.get(name)
        if gradient is None:
            continue
        others = gradient.index_fill(0, truth.model.row_ids(role, truth.asked.triples).flatten(), 0.0)
        if others.any():
            raise CheckpointError(message_passing(truth.name, f"rows of {name} that no triple of the batch names"))


def message_passing(name: str, what: str) -> str:
    """Say that a model is refused because it computes representations from the graph."""
    return (
        f"{name} passes messages over the graph: its scores read {what}. A score must read the rows of its own head, "
        "relation and tail alone, so such a model cannot be explained"
    )


def _ways(truth: Truth) -> DerivativeWays:
    """Find out in which ways the dense tensors' gradients are right."""
    few, copied = truth.asked.at(slice(0, _NUM_MAPPED)), truth.model.copied()
    _refuse_control_flow(truth.name, _tried(lambda: scores_mapped(copied, few)))
    dense = {name: part for name, part in truth.expected.gradients.items() if name not in truth.model.tables}
    if not dense:
        return EVERY_WAY
    expected = of_whole_model(copied, few)
    mapped = _tried(lambda: of_each_mapped(copied, few)).value
    is_mapped = mapped is not None and not [*different_tensors(mapped.gradients, expected.gradients)]
    return DerivativeWays(is_mapped=is_mapped, has_forward_mode=_has_forward_mode(truth, dense))


def _refuse_control_flow(name: str, tried: Attempt[torch.Tensor]) -> None:
    """Refuse a model that asks for values of a whole batch: what it then computes depends on other triples."""
    if _CONTROL_FLOW in str(tried.error):
        raise CheckpointError(
            f"{name} decides by the values of a batch what it computes ({tried.reason}): a score must not depend on "
            "the other triples of a batch; take torch.where in place of if"
        )


def _has_forward_mode(truth: Truth, dense: dict[str, torch.Tensor]) -> bool:
    """Compare derivatives along directions, forward, with gradients, backward."""
    generator, copied = torch.Generator().manual_seed(_SEED), truth.model.copied()
    directions = {
        name: torch.randn(2, *part.shape, generator=generator, dtype=part.dtype).to(part.device)
        for name, part in dense.items()
    }
    found = _tried(lambda: along(copied, truth.asked, directions) * truth.asked.weights).value
    if found is None:
        return False
    parts = [torch.tensordot(directions[name], part, dims=part.dim()) for name, part in dense.items()]
    expected = torch.stack(parts).sum(dim=0)
    return are_equal(found.sum(dim=1), expected, scale=float(found.abs().sum()))


def _in_parts(truth: Truth, ask: Callable[[Asked], Found]) -> Found:
    """Ask about some triples one by one, and about the others together."""
    parts = [truth.asked.at(slice(row, row + 1)) for row in range(truth.num_alone)]
    scores, gradients = [], {name: torch.zeros_like(part) for name, part in truth.expected.gradients.items()}
    for part in (*parts, truth.asked.at(slice(truth.num_alone, None))):
        found = ask(part)
        scores.append(found.scores)
        for name, total in gradients.items():
            total.add_(found.gradients[name])
    return Found(scores=torch.cat(scores), gradients=gradients)


def _tried(function: Callable[[], Given]) -> Attempt[Given]:
    """Call the code of a user's model; it may raise anything, except that memory ran out."""
    try:
        return Attempt(value=function())
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - the code of a user's model can raise anything
        return Attempt(error=error)


def _difference(tried: Attempt[Found], truth: Truth) -> str | None:
    """Name what differs from the truth, or say what was raised; None if nothing does."""
    return tried.reason if tried.value is None else different_tensor(tried.value, truth.expected)


def _has_gradients(found: Found) -> bool:
    return any(bool(part.any()) for part in found.gradients.values())


def _gradients_of(name: str) -> str:
    return name if name == "scores" else f"gradients of {name}"
