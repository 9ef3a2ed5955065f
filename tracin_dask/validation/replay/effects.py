"""The exact effects of training triples along a recorded training, by one pass from its last step to its first.

The step s moves the weights by −d_s m_s with m_s = (1 − β) Σ_u β^(s − u) g_u over the steps u ≤ s, where g_u is the sum
of the gradient terms of the training triples of batch u. What it changes of a test triple's worth is the product of
that move with the worth's discrete gradient w_s on the way. So a training triple i of batch u has the effect
−(1 − β) ⟨c_u, ∇ℓ_i⟩ with c_u = d_u w_u + β c_(u + 1), and the effects of all training triples add up to the change.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from tracin_dask.models.conve.model import ConvE
from tracin_dask.turn import Turn
from tracin_dask.validation.replay.recording import BETA, Recording, Step, record
from tracin_dask.validation.trainings import Material

_POINTS = [((place + 1) / 2, share / 2) for place, share in zip(*np.polynomial.legendre.leggauss(2), strict=True)]
"""Places on the way of a step, and their shares in the mean gradient (Gauss-Legendre)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Effects:
    """What each training triple changed of each test triple's worth, and what all steps changed of it."""

    effects: Float[ndarray, "test row"]
    change: Float[ndarray, " test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The training that is replayed: its material and seed, and the worth that is followed."""

    material: Material
    seed: int
    quantity: str


def replay(replayed: Replayed, tests: Int[ndarray, "test 3"], threads: int) -> Effects:
    """Record a training, and split the changes of the worth of some test triples among its training triples."""
    with Turn(threads, "highest"):
        recording = record(replayed.material, replayed.seed)
        wanted = torch.as_tensor(tests).long()
        return effects_of(recording, wanted, replayed.quantity)


def effects_of(recording: Recording, tests: Int[Tensor, "test 3"], quantity: str) -> Effects:
    """Go through the steps from the last to the first."""
    carried = torch.zeros(len(tests), recording.steps[0].weights.numel(), dtype=torch.float64)
    effects = torch.zeros(len(tests), len(recording.triples), dtype=torch.float64)
    change = torch.zeros(len(tests), dtype=torch.float64)
    for step in reversed(recording.steps):
        changed = _change(recording, step, tests, quantity)
        gradients = _exact(_mean_gradients(recording, step, tests, quantity), step, changed)
        carried = step.scale * gradients + BETA * carried
        effects[:, step.rows] -= (1 - BETA) * _products(recording, step, carried)
        change += changed
    return Effects(effects=effects.numpy(), change=change.numpy())


def worth_of(scores: Float[Tensor, "entity"], tail: Int[Tensor, ""], quantity: str, label_smoothing: float) -> Tensor:
    """Give the worth of one test triple's scores: its score, its margin, or its loss with a minus."""
    own = scores.gather(0, tail[None]).squeeze(0)
    if quantity == "score":
        return own
    if quantity == "margin":
        is_own = torch.arange(len(scores)) == tail
        return own - torch.where(is_own, -torch.inf, scores).logsumexp(dim=0)
    labelled = (1 - label_smoothing) * own + label_smoothing * scores.mean()
    return labelled / len(scores) - nn.functional.softplus(scores).mean()


def _exact(
    gradients: Float[Tensor, "test weight"], step: Step, changed: Float[Tensor, " test"]
) -> Float[Tensor, "test weight"]:
    """Change gradients as little as possible such that their product with the step is what the step changed.

    Gonzalez (1996), Time integration and discrete Hamiltonian systems: the kinks of ReLU lie between any two points.
    """
    move = step.after - step.weights
    return gradients + (changed - gradients @ move)[:, None] * move / (move @ move)


def _mean_gradients(
    recording: Recording, step: Step, tests: Int[Tensor, "test 3"], quantity: str
) -> Float[Tensor, "test weight"]:
    """Give the mean gradients of the worth on the way from the weights before a step to those after it."""
    model = recording.model.eval()

    def worth(weights: dict[str, Tensor], test: Tensor) -> Tensor:
        scores = functional_call(model, {**weights, **step.buffers}, (test[None, 0], test[None, 1]))
        return worth_of(scores[0], test[2], quantity, recording.label_smoothing)

    mean = torch.zeros(len(tests), step.weights.numel(), dtype=torch.float64)
    for part, share in _POINTS:
        named = _named(model, torch.lerp(step.weights, step.after, part))
        found = vmap(grad(worth), in_dims=(None, 0))(named, tests)
        mean += share * torch.cat([found[name].flatten(start_dim=1) for name in named], dim=1)
    return mean


def _products(recording: Recording, step: Step, carried: Float[Tensor, "test weight"]) -> Float[Tensor, "test batch"]:
    """Give ⟨c, ∇ℓ_i⟩ for the gradient terms of all training triples of a batch, its dropout and statistics included.

    The gradient of Σ u_i ℓ_i is linear in u: its product with c, differentiated by u, is what is wanted.
    """
    model = recording.model.train()
    weights = {name: value.requires_grad_() for name, value in _named(model, step.weights).items()}
    head, relation, tail = recording.triples[step.rows].unbind(dim=1)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(step.random)
        buffers = {name: buffer.clone() for name, buffer in step.buffers.items()}
        scores = functional_call(model, {**weights, **buffers}, (head, relation))
    factor = torch.ones(len(head), dtype=torch.float64, requires_grad=True)
    summed = (factor * _losses(scores, tail, recording.label_smoothing)).sum()
    gradients = torch.autograd.grad(summed, list(weights.values()), create_graph=True, materialize_grads=True)
    joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
    (found,) = torch.autograd.grad(joined, factor, grad_outputs=carried, is_grads_batched=True)
    return found


def _losses(
    scores: Float[Tensor, "batch entity"], tail: Int[Tensor, " batch"], label_smoothing: float
) -> Float[Tensor, " batch"]:
    """Give the terms whose sum is the loss of a batch."""
    own = scores.gather(1, tail[:, None]).squeeze(1)
    labelled = (1 - label_smoothing) * own + label_smoothing / scores.shape[1] * scores.sum(dim=1)
    return (nn.functional.softplus(scores).sum(dim=1) - labelled) / scores.numel()


def _change(recording: Recording, step: Step, tests: Int[Tensor, "test 3"], quantity: str) -> Float[Tensor, " test"]:
    """Give what the weights of a step changed of the worth of each test triple."""
    model = recording.model.eval()

    def worths(flat_weights: Tensor) -> Tensor:
        named = {**_named(model, flat_weights), **step.buffers}
        scores = functional_call(model, named, (tests[:, 0], tests[:, 1]))
        found = [
            worth_of(row, tail, quantity, recording.label_smoothing)
            for row, tail in zip(scores, tests[:, 2], strict=True)
        ]
        return torch.stack(found)

    with torch.no_grad():
        return worths(step.after) - worths(step.weights)


def _named(model: ConvE, flat_weights: Float[Tensor, " weight"]) -> dict[str, Tensor]:
    """Cut numbers side by side into the parameters of a model."""
    named = dict(model.named_parameters())
    parts = torch.split(flat_weights, [parameter.numel() for parameter in named.values()])
    return {
        name: part.reshape(parameter.shape).clone()
        for (name, parameter), part in zip(named.items(), parts, strict=True)
    }


def agreement(effects: Effects) -> float:
    """Tell how far the effects are from adding up to the changes: the mean difference, as a share of the changes."""
    differences = np.abs(effects.effects.sum(axis=1) - effects.change)
    return float(differences.sum() / np.abs(effects.change).sum())
