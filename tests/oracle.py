"""TracIn the slow, plain way: one autograd backward pass per triple. Imports nothing from `tracin_dask.influence`."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def bce(score: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(score, torch.ones_like(score))


def gradients(model: nn.Module, triple: Tensor, loss=bce) -> dict[str, Tensor]:
    """Differentiate one triple's loss by every parameter tensor; scores all entities, as training does."""
    model.eval()
    names, parameters = zip(*model.named_parameters(), strict=True)
    score = model(triple[None, 0], triple[None, 1])[0, triple[2]]
    found = torch.autograd.grad(loss(score), parameters, allow_unused=True)
    pairs = zip(names, parameters, found, strict=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in pairs}


def products(model: nn.Module, train: Tensor, test: Tensor, loss=bce) -> dict[str, Tensor]:
    """Multiply the gradients of every training and every test triple: one [train, test] matrix per tensor."""
    ours, theirs = ([gradients(model, t, loss) for t in triples] for triples in (train, test))
    return {
        name: torch.stack([torch.stack([(i[name] * j[name]).sum() for j in theirs]) for i in ours]) for name in ours[0]
    }


def norms(model: nn.Module, triples: Tensor, loss=bce) -> dict[str, Tensor]:
    """Give the norm of every triple's gradient: one [triple] vector per tensor."""
    found = [gradients(model, t, loss) for t in triples]
    return {name: torch.stack([g[name].norm() for g in found]) for name in found[0]}


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
