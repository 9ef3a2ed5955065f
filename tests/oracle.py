"""TracIn the slow, plain way: one autograd backward pass per triple. Imports nothing from `tracin_dask.influence`."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def scores(model: nn.Module, triples: Tensor) -> Tensor:
    """Score triples among all entities, as training does."""
    every = model(triples[:, 0], triples[:, 1])
    return every[torch.arange(len(triples)), triples[:, 2]]


def bce(model: nn.Module, triple: Tensor) -> Tensor:
    score = scores(model, triple[None])
    return binary_cross_entropy_with_logits(score, torch.ones_like(score))


def of_own_score(value):
    """Make a loss from one that takes the triple's own score only."""
    return lambda model, triple: value(scores(model, triple[None]))[0]


def of_all_scores(value):
    """Make a loss from one that takes batches of all scores and the tails."""
    return lambda model, triple: value(model(triple[None, 0], triple[None, 1]), triple[None, 2])[0]


def of_negatives(loss):
    """Make a loss from one that draws corrupted triples and takes the scores of all of them."""

    def value(model: nn.Module, triple: Tensor) -> Tensor:
        drawn = loss.corrupted(triple[None].numpy(), model.config.num_entities)[:, 0]
        return loss.value(scores(model, torch.cat([triple[None], torch.from_numpy(drawn)]))[None])[0]

    return value


def of_contrast(loss):
    """Make the difference of two losses, of (head, relation, tail, other tail)."""
    return lambda model, asked: loss(model, asked[:3]) - loss(model, asked[[0, 1, 3]])


def gradients(model: nn.Module, triple: Tensor, loss=bce) -> dict[str, Tensor]:
    """Differentiate one triple's loss by every parameter tensor."""
    model.eval()
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss(model, triple), parameters, allow_unused=True)
    pairs = zip(names, parameters, found, strict=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in pairs}


def adam_scales(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Compute 1 / (√v̂ + ε) of every parameter tensor, as Adam's step does."""
    state = optimizer.state_dict()
    (group,) = state["param_groups"]
    found = {}
    for number, (name, _) in enumerate(model.named_parameters()):
        mine = state["state"][number]
        second = mine["max_exp_avg_sq"] if group["amsgrad"] else mine["exp_avg_sq"]
        found[name] = 1 / ((second / (1 - group["betas"][1] ** int(mine["step"]))).sqrt() + group["eps"])
    return found


def products(
    model: nn.Module, train: Tensor, test: Tensor, loss=bce, test_loss=None, *, scales=None
) -> dict[str, Tensor]:
    """Multiply the gradients of every training and every test triple: one [train, test] matrix per tensor.

    `scales` multiply the gradients of the test triples elementwise.
    """
    theirs = _stack([_flat(_scaled(gradients(model, triple, test_loss or loss), scales)) for triple in test])
    rows = []
    for triple in train:
        ours = _flat(gradients(model, triple, loss))
        rows.append({name: theirs[name] @ ours[name] for name in ours})
    return _stack(rows)


def norms(model: nn.Module, triples: Tensor, loss=bce, scales=None) -> dict[str, Tensor]:
    """Give the norm of every triple's gradient, or √⟨g, scales ∘ g⟩: one [triple] vector per tensor."""
    roots = scales and {name: scale.sqrt() for name, scale in scales.items()}
    found = (_scaled(gradients(model, triple, loss), roots) for triple in triples)
    return _stack([{name: g.norm() for name, g in one.items()} for one in found])


def near_a_kink(model: nn.Module, triples: Tensor, margin: float = 1e-5) -> Tensor:
    """Tell which triples feed a ReLU with a value within `margin` of 0, where two correct programs may differ."""
    near = torch.zeros(len(triples), dtype=torch.bool)

    def look(_: nn.Module, __: object, output: Tensor) -> None:
        near.logical_or_((output.flatten(start_dim=1).abs() < margin).any(dim=1))

    hooks = [layer.register_forward_hook(look) for layer in (model.bn1, model.bn2)]
    with torch.no_grad():
        model.project(triples[:, 0], triples[:, 1])
    for hook in hooks:
        hook.remove()
    return near


def _scaled(gradient: dict[str, Tensor], scales: dict[str, Tensor] | None) -> dict[str, Tensor]:
    return gradient if scales is None else {name: g * scales[name] for name, g in gradient.items()}


def _flat(gradient: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: g.flatten() for name, g in gradient.items()}


def _stack(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
