"""A real biomedical graph from end to end: train, explain every held-out treatment, check against plain autograd."""

import json
from functools import partial
from pathlib import Path

import oracle
import pytest
import torch
from click.testing import CliRunner
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from tracin_dask.cli.main import group
from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.load import load_checkpoint
from tracin_dask.triples.idmap import IdMap, read_id_map
from tracin_dask.triples.text import read_triples

NUM_TEST, NUM_TRAIN, TOP_K = 75, 59_551, 100
NUM_CHECKED, CHECKED_TOP = 3, 10
LEARNING_RATE = 0.003


def invoke(*words: object) -> None:
    outcome = CliRunner().invoke(group, [str(word) for word in words], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output


@pytest.fixture(scope="module")
def graph(data) -> Path:
    return data / "hetionet-lite"


@pytest.fixture(scope="module")
def maps(graph) -> tuple[IdMap, IdMap]:
    return read_id_map(graph / "node_dict.txt"), read_id_map(graph / "rel_dict.txt", "relation")


@pytest.fixture(scope="module")
def out(graph, tmp_path_factory) -> Path:
    """Train a ConvE of dimension 32 for an epoch and explain all test triples; gives the folder of it all."""
    out = tmp_path_factory.mktemp("hetionet")
    train = ["--train", graph / "train.txt"]
    train += ["--entity-to-id", graph / "node_dict.txt", "--relation-to-id", graph / "rel_dict.txt"]
    sizes = ["--embedding-dim", 32, "--embedding-height", 8, "--embedding-width", 4, "--num-epochs", 1]
    invoke("train", *train, *sizes, "--learning-rate", LEARNING_RATE, "--output-dir", out / "model")
    model = ["--model-path", out / "model" / "final_model.pt", "--cache-dir", out / "cache"]
    invoke("run", *model, *train, "--test", graph / "test.txt", "--top-k", TOP_K, "--output-dir", out / "why")
    return out


def test_every_held_out_treatment_gets_its_hundred_triples(out, graph):
    summary = json.loads((out / "why" / "summary.json").read_text())
    assert summary["num_results"] == NUM_TEST
    assert summary["run"]["num_training_triples"] == NUM_TRAIN
    assert len(summary["run"]["parameters"]) == 12
    lines = (graph / "train.txt").read_text().splitlines()
    for row in summary["results"]:
        influences = json.loads((out / "why" / row["file"]).read_text())["influences"]
        assert len(influences) == TOP_K
        first = influences[0]
        labels = [first[f"train_{role}_label"] for role in ("head", "relation", "tail")]
        assert lines[first["train_index"]].split("\t") == labels


# torch's forward mode compiles its own rules with a function that it deprecates
def test_the_top_ten_agree_with_autograd_on_the_full_training_set(out, graph, maps):
    model = load_checkpoint(out / "model" / "final_model.pt").model.double()
    train = torch.from_numpy(read_triples(graph / "train.txt", *maps))
    test = torch.from_numpy(read_triples(graph / "test.txt", *maps))[:NUM_CHECKED]
    for triple in test:
        expected = all_influences(model, train, triple)
        path = out / "why" / f"triple_{'_'.join(map(str, triple.tolist()))}.json"
        found = json.loads(path.read_text())["influences"][:CHECKED_TOP]
        rows = torch.tensor([entry["train_index"] for entry in found])
        influences = torch.tensor([entry["influence"] for entry in found], dtype=torch.float64)
        one_by_one, scale = some_influences(model, train[rows], triple)
        torch.testing.assert_close(expected[rows], one_by_one, rtol=1e-9, atol=1e-15)
        assert ((influences - one_by_one).abs() <= 1e-4 * scale).all()
        # No row that was left out may be larger than the tenth by more than the tolerance.
        expected[rows] = 0
        assert expected.abs().max() <= influences[-1].abs() + 1e-4 * scale.max()


class Losses(torch.nn.Module):
    """Each triple's loss, as a function of the model's parameters."""

    def __init__(self, model: ConvE) -> None:
        super().__init__()
        self.model = model

    def forward(self, triples: torch.Tensor) -> torch.Tensor:
        scores = self.model.score(triples)
        return binary_cross_entropy_with_logits(scores, torch.ones_like(scores), reduction="none")


def all_influences(model: ConvE, train: torch.Tensor, triple: torch.Tensor) -> torch.Tensor:
    """Differentiate all training triples' losses along one test triple's gradient, in autograd's forward mode."""
    losses = Losses(model)
    parameters = dict(losses.named_parameters())
    direction = {f"model.{name}": gradient for name, gradient in oracle.gradients(model, triple).items()}
    found = []
    for triples in train.split(4096):
        call = partial(functional_call, losses, args=(triples,))
        found.append(torch.func.jvp(call, (parameters,), (direction,))[1].detach())
    return LEARNING_RATE * torch.cat(found)


def some_influences(model: ConvE, train: torch.Tensor, triple: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differentiate triple by triple: influences, and the products of the gradients' norms."""
    theirs, ours = flat(model, triple), torch.stack([flat(model, one) for one in train])
    return LEARNING_RATE * (ours @ theirs), LEARNING_RATE * ours.norm(dim=1) * theirs.norm()


def flat(model: ConvE, triple: torch.Tensor) -> torch.Tensor:
    """Put one triple's gradients of all tensors behind each other."""
    return torch.cat([gradient.flatten() for gradient in oracle.gradients(model, triple).values()])
