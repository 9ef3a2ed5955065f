"""The models of other programs, written anew from their formulas, with the names that their tensors have in files."""

import sys
from types import ModuleType, SimpleNamespace

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, linear

NUM_ENTITIES, NUM_RELATIONS = 17, 4


def fill(model: nn.Module) -> nn.Module:
    """Give every tensor random values in float64, batch norms' statistics included."""
    generator = torch.Generator().manual_seed(1)
    model.double().eval()
    with torch.no_grad():
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.is_floating_point():
                values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else 0.4 * values)
    return model


def normalise(x: Tensor, norm: nn.Module) -> Tensor:
    return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)


class Dettmers(nn.Module):
    """ConvE of T. Dettmers' repository: bn0, biases of entities, a convolution with or without a bias."""

    def __init__(self, *, use_bias: bool, height: int = 3, width: int = 5, channels: int = 2) -> None:
        super().__init__()
        self.image = (height, width)
        self.register_parameter("b", nn.Parameter(torch.zeros(NUM_ENTITIES)))
        self.emb_e = nn.Embedding(NUM_ENTITIES, height * width, padding_idx=0)
        self.emb_rel = nn.Embedding(NUM_RELATIONS, height * width, padding_idx=0)
        self.conv1 = nn.Conv2d(1, channels, 3, bias=use_bias)
        self.bn0, self.bn1 = nn.BatchNorm2d(1), nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm1d(height * width)
        self.fc = nn.Linear(channels * (2 * height - 2) * (width - 2), height * width)

    def score(self, triples: Tensor) -> Tensor:
        head, relation, tail = triples.T
        rows = self.emb_e.weight[head], self.emb_rel.weight[relation]
        x = normalise(torch.cat([row.unflatten(1, (1, *self.image)) for row in rows], dim=2), self.bn0)
        x = normalise(conv2d(x, self.conv1.weight, self.conv1.bias), self.bn1).clamp(min=0)
        x = normalise(linear(x.flatten(1), self.fc.weight, self.fc.bias), self.bn2).clamp(min=0)
        return torch.einsum("bd,bd->b", x, self.emb_e.weight[tail]) + self.b[tail]


class Kelpie(nn.Module):
    """ConvE of Kelpie: images 20 high, no biases of entities, tables that are bare parameters."""

    def __init__(self, *, width: int = 3, channels: int = 2) -> None:
        super().__init__()
        self.entity_embeddings = nn.Parameter(torch.zeros(NUM_ENTITIES, 20 * width))
        self.relation_embeddings = nn.Parameter(torch.zeros(NUM_RELATIONS, 20 * width))
        self.batch_norm_1, self.batch_norm_2 = nn.BatchNorm2d(1), nn.BatchNorm2d(channels)
        self.batch_norm_3 = nn.BatchNorm1d(20 * width)
        self.convolutional_layer = nn.Conv2d(1, channels, (3, 3))
        self.hidden_layer = nn.Linear(channels * 38 * (width - 2), 20 * width)

    def score(self, triples: Tensor) -> Tensor:
        head, relation, tail = triples.T
        rows = self.entity_embeddings[head], self.relation_embeddings[relation]
        x = normalise(torch.cat([row.unflatten(1, (20, -1)) for row in rows], dim=1)[:, None], self.batch_norm_1)
        kernels, dense = self.convolutional_layer, self.hidden_layer
        x = normalise(conv2d(x, kernels.weight, kernels.bias), self.batch_norm_2).clamp(min=0)
        x = normalise(linear(x.flatten(1), dense.weight, dense.bias), self.batch_norm_3).clamp(min=0)
        return (x * self.entity_embeddings[tail]).sum(1)


def distmult(h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    return torch.einsum("bd,bd,bd->b", h, r, t)


def as_complex(row: Tensor) -> Tensor:
    half = row.shape[1] // 2
    return torch.complex(row[:, :half], row[:, half:])


def complex_(h: Tensor, r: Tensor, t: Tensor) -> Tensor:
    return (as_complex(h) * as_complex(r) * as_complex(t).conj()).sum(1).real


def transe(norm: float):
    return lambda h, r, t: -(h + r - t).abs().pow(norm).sum(1).pow(1 / norm)


def rotate(norm: float):
    def score(h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        turned = as_complex(h) * torch.polar(torch.ones_like(r), r)
        return -(turned - as_complex(t)).abs().pow(norm).sum(1).pow(1 / norm)

    return score


class Rows(nn.Module):
    """A scorer without tensors."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        return self.function(h, r, t)


class LibKGEConvE(nn.Module):
    """LibKGE's ConvE: no bn0, batch norms without weights, the bias of an entity in its first column."""

    def __init__(self, *, height: int, width: int, stride: int = 1, padding: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.image, self.stride, self.padding = (height, width), stride, padding
        places = [(pixels - 3 + 2 * padding) // stride + 1 for pixels in (2 * height, width)]
        self.convolution = nn.Conv2d(1, 3, 3, bias=bias)
        self.bn1 = nn.BatchNorm2d(3, affine=False)
        self.bn2 = nn.BatchNorm1d(height * width, affine=False)
        self.projection = nn.Linear(3 * places[0] * places[1], height * width)

    def forward(self, h: Tensor, r: Tensor, t: Tensor) -> Tensor:
        x = torch.cat([row[:, 1:].unflatten(1, self.image) for row in (h, r)], dim=1)[:, None]
        kernels = self.convolution
        x = conv2d(x, kernels.weight, kernels.bias, stride=self.stride, padding=self.padding)
        x = normalise(x, self.bn1).clamp(min=0).flatten(1)
        x = normalise(x @ self.projection.weight.T + self.projection.bias, self.bn2).clamp(min=0)
        return t[:, 0] + (x * t[:, 1:]).sum(1)


class Embedder(nn.Module):
    def __init__(self, rows: int, dim: int) -> None:
        super().__init__()
        self._embeddings = nn.Embedding(rows, dim)


class LibKGEModel(nn.Module):
    """A model of LibKGE's without reciprocal relations."""

    def __init__(self, scorer: nn.Module, dim: int, relation_dim: int) -> None:
        super().__init__()
        self._entity_embedder = Embedder(NUM_ENTITIES, dim)
        self._relation_embedder = Embedder(NUM_RELATIONS, relation_dim)
        self._scorer = scorer

    def score(self, triples: Tensor) -> Tensor:
        entities, relations = self._entity_embedder._embeddings.weight, self._relation_embedder._embeddings.weight
        return self._scorer(entities[triples[:, 0]], relations[triples[:, 1]], entities[triples[:, 2]])


class Reciprocal(nn.Module):
    """A model with reciprocal relations, which names the parts of its base model twice."""

    def __init__(self, base: LibKGEModel) -> None:
        super().__init__()
        self._scorer, self._base_model = base._scorer, base
        self._entity_embedder, self._relation_embedder = base._entity_embedder, base._relation_embedder

    def score(self, triples: Tensor) -> Tensor:
        return self._base_model.score(triples)


DEFAULTS = {
    "complex": {},
    "distmult": {},
    "transe": {"l_norm": 1.0},
    "rotate": {"l_norm": 1.0, "normalize_phases": True},
    "conve": {"2D_aspect_ratio": 2, "filter_size": 3, "stride": 1, "padding": 0, "convolution_bias": True},
}


def options_of(name: str, *, reciprocal: bool = False, **settings: object) -> dict[str, object]:
    """Give LibKGE's options of a training: defaults of the model's kind, and what the user set."""
    options = {"job": {"type": "train", "device": "cpu"}, "lookup_embedder": {"dim": 100, "normalize": {"p": -1.0}}}
    embedders = {f"{kind}_embedder": {"type": "lookup_embedder", "dropout": 0.2} for kind in ("entity", "relation")}
    options |= {name: {"class_name": name} | embedders | DEFAULTS[name]}
    if not reciprocal:
        options[name] |= settings
        return options | {"model": name}
    base = {"class_name": "ReciprocalRelationsModel", "base_model": {"type": name, **settings}}
    return options | {"model": "reciprocal_relations_model", "reciprocal_relations_model": base}


def write_libkge(path, model: nn.Module, options: dict | None, *, optimizer=None) -> None:
    """Write a checkpoint as LibKGE's training does: its configuration is an object of LibKGE's."""
    package, module = ModuleType("kge"), ModuleType("kge.config")
    module.Config = type("Config", (SimpleNamespace,), {"__module__": "kge.config", "__reduce__": object.__reduce__})
    contents = {
        "type": "train",
        "epoch": 20,
        "valid_trace": [{"epoch": 10, "mean_reciprocal_rank_filtered": 0.3}],
        "model": (model.state_dict(), {"train_job_id": "b7"}),
        "optimizer_state_dict": {} if optimizer is None else optimizer.state_dict(),
        "lr_scheduler_state_dict": {},
        "job_id": "a3",
    }
    before = {name: sys.modules.get(name) for name in ("kge", "kge.config")}
    sys.modules |= {"kge": package, "kge.config": module}
    try:
        if options is not None:
            contents["config"] = module.Config()
            contents["config"].__dict__.update(folder="local/experiments/x", options=options, log_prefix=None)
        torch.save(contents, path)
    finally:
        for name, found in before.items():
            sys.modules.pop(name) if found is None else sys.modules.update({name: found})
