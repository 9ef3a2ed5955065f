"""`tracin-dask run --preconditioner adam`: from a training checkpoint to the table and the JSON."""

import copy
from functools import partial

import numpy as np
import oracle
import pytest
import torch

from tracin_dask.errors import CheckpointError
from tracin_dask.models.conve.model import CANCELLED

TOLERANCE = 1e-4


def by_line(contents):
    return np.array([e["influence"] for e in sorted(contents["influences"], key=lambda e: e["train_index"])])


@pytest.fixture(scope="module")
def truth(project, adam):
    """Products with the test triple and norms from autograd, per tensor and training line."""
    _, model, optimizer = adam
    scales = {name: scale.double() for name, scale in oracle.adam_scales(model, optimizer).items()}
    model, lines = copy.deepcopy(model).double(), torch.from_numpy(project.lines[:30])
    products = oracle.products(model, lines, lines[5:6], scales=scales)
    return products, oracle.norms(model, lines, scales=scales)


ALL = frozenset(
    {"entity_embeddings.weight", "relation_embeddings.weight"}
    | {f"{module}.{leaf}" for module in ("bn0", "conv1", "bn1", "fc", "bn2") for leaf in ("weight", "bias")}
)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ALL - CANCELLED),
        (["--parameters", "*"], ALL),
        (["--use-last-layers-only"], frozenset({"fc.weight", "fc.bias"})),
    ],
    ids=["default", "all", "last layers"],
)
def test_adam_influences_equal_the_oracle(explain, adam, truth, words, names):
    contents = explain("--top-k", 600, "--preconditioner", "adam", *words, model=adam[0])
    products, norms = truth
    assert contents["run"]["preconditioner"] == "adam"
    assert contents["run"]["parameters"] == sorted(names)
    wanted = 0.01 * sum(products[name][:, 0] for name in names).numpy()
    size = torch.stack([norms[name] for name in names]).norm(dim=0).numpy()
    assert (np.abs(by_line(contents)[:30] - wanted) <= TOLERANCE * 0.01 * size * size[5]).all()


@pytest.fixture
def run(project, tool, tmp_path, adam):
    """Run on the project's test triple with further options; return all output."""
    asked = ["--test-triple", *project.test_ids, "--output", tmp_path / "a.json"]
    return partial(tool, "run", *project.options(adam[0]), *asked)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            [],
            "bn0.bias, bn0.weight, conv1.bias are left out (--parameters '*' takes them): batch norm cancels",
        ),
        (["--parameters", "*"], "bn0.bias, bn0.weight, conv1.bias: batch norm cancels their gradients in training, so"),
        (["--parameters", "fc.*", "conv1.*"], "conv1.bias: batch norm cancels their gradients in training, so"),
        (["--parameters", "fc.*"], None),
    ],
)
def test_an_adam_run_prints_the_cancelled_tensors_and_the_meaning_of_the_size(run, words, said):
    result = run("--preconditioner", "adam", *words)
    assert result.exit_code == 0, result.output
    assert ("batch norm cancels" in result.stderr) == (said is not None)
    assert any(line.startswith(said or "") for line in result.stderr.splitlines())
    assert "size: drop of loss per Adam step." in " ".join(result.stdout.split())


def test_a_plain_run_prints_nothing_about_adam(run):
    assert "batch norm" not in run().stderr


def test_adam_refuses_a_checkpoint_without_optimizer_state(explain):
    with pytest.raises(CheckpointError, match=r"model\.pt: has no optimizer_state_dict, from which Adam's"):
        explain("--preconditioner", "adam")
