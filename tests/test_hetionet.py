"""A real biomedical graph from end to end: train, explain every held-out treatment, check against plain autograd."""

import json
from pathlib import Path

import oracle
import pytest
import torch
from click.testing import CliRunner

from tracin_dask.cli.main import group
from tracin_dask.models.checkpoint import load_checkpoint
from tracin_dask.models.conve import ConvE
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


@pytest.mark.slow
def test_the_top_ten_agree_with_the_oracle_on_the_full_training_set(out, graph, maps):
    model = load_checkpoint(out / "model" / "final_model.pt").model
    train = torch.from_numpy(read_triples(graph / "train.txt", *maps))
    test = torch.from_numpy(read_triples(graph / "test.txt", *maps))[:NUM_CHECKED]
    expected, scale = all_influences(model, train, test)
    for column, triple in enumerate(test.tolist()):
        path = out / "why" / f"triple_{'_'.join(map(str, triple))}.json"
        found = json.loads(path.read_text())["influences"][:CHECKED_TOP]
        rows = torch.tensor([entry["train_index"] for entry in found])
        influences = torch.tensor([entry["influence"] for entry in found])
        allowed = 1e-4 * scale[rows, column]
        assert ((influences - expected[rows, column]).abs() <= allowed).all()
        # No row that was left out may be larger than the tenth by more than the tolerance.
        beyond = expected[:, column].abs() - 1e-4 * scale[:, column]
        beyond[rows] = 0
        assert beyond.max() <= influences[-1].abs()


def all_influences(model: ConvE, train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differentiate triple by triple: influences [train, test], and the products of the gradients' norms."""
    theirs = torch.stack([flat(model, triple) for triple in test])
    expected, norms = torch.empty(len(train), len(test)), torch.empty(len(train))
    for row, triple in enumerate(train):
        ours = flat(model, triple)
        expected[row], norms[row] = theirs @ ours, ours.norm()
    return LEARNING_RATE * expected, LEARNING_RATE * norms[:, None] * theirs.norm(dim=1)


def flat(model: ConvE, triple: torch.Tensor) -> torch.Tensor:
    """Put one triple's gradients of all tensors behind each other."""
    return torch.cat([gradient.flatten() for gradient in oracle.gradients(model, triple).values()])
