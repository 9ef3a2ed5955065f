"""TracIn the slow, plain way: one autograd backward pass per triple. Imports nothing from `tracin_dask.influence`."""

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def bce(scores: Tensor, tail: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(scores[tail], torch.ones_like(scores[tail]))


def of_own_score(value):
    """Make a loss from one that takes the triple's own score only."""
    return lambda scores, tail: value(scores[tail][None])[0]


def of_all_scores(value):
    """Make a loss from one that takes batches of all scores and the tails."""
    return lambda scores, tail: value(scores[None], tail[None])[0]


def gradients(model: nn.Module, triple: Tensor, loss=bce) -> dict[str, Tensor]:
    """Differentiate one triple's loss by every parameter tensor; scores all entities, as training does."""
    model.eval()
    names, parameters = zip(*model.named_parameters(), strict=True)
    scores = model(triple[None, 0], triple[None, 1])[0]
    found = torch.autograd.grad(loss(scores, triple[2]), parameters, allow_unused=True)
    pairs = zip(names, parameters, found, strict=True)
    return {n: torch.zeros_like(p) if g is None else g for n, p, g in pairs}


def products(model: nn.Module, train: Tensor, test: Tensor, loss=bce) -> dict[str, Tensor]:
    """Multiply the gradients of every training and every test triple: one [train, test] matrix per tensor."""
    theirs = _stack([_flat(gradients(model, triple, loss)) for triple in test])
    rows = []
    for triple in train:
        ours = _flat(gradients(model, triple, loss))
        rows.append({name: theirs[name] @ ours[name] for name in ours})
    return _stack(rows)


def norms(model: nn.Module, triples: Tensor, loss=bce) -> dict[str, Tensor]:
    """Give the norm of every triple's gradient: one [triple] vector per tensor."""
    rows = ({name: g.norm() for name, g in gradients(model, triple, loss).items()} for triple in triples)
    return _stack(list(rows))


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


def _flat(gradient: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: g.flatten() for name, g in gradient.items()}


def _stack(rows: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
