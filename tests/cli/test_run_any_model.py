"""`run` explains any model: from weights and a description, from a pickle if that is trusted, or says what is wrong."""

import json

import numpy as np
import pytest
import torch
from influence.any_model import SETTINGS, gradients, own_bce, pykeen_model
from pykeen.models import ERModel


@pytest.fixture(scope="module")
def models():
    """Make one small model of each kind, in float64."""
    return {name: pykeen_model(name) for name in SETTINGS}


@pytest.fixture
def files(tmp_path):
    """Write a graph of the models' sizes; give its options and lines."""
    random = np.random.default_rng(3)
    lines = np.stack([random.integers(limit, size=80) for limit in (17, 4, 17)], axis=1)
    lines[7], lines[9, 2] = lines[5], lines[9, 0]
    (tmp_path / "train.txt").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines.tolist()))
    for name, number in (("entity", 17), ("relation", 4)):
        (tmp_path / f"{name}_to_id.tsv").write_text("".join(f"{name}{i}\t{i}\n" for i in range(number)))
    words = ["--train", tmp_path / "train.txt", "--cache-dir", tmp_path / "cache", "--threads-per-worker", 1]
    for name in ("entity", "relation"):
        words += [f"--{name}-to-id", tmp_path / f"{name}_to_id.tsv"]
    return words, lines


def describe(folder, name, **settings):
    path = folder / "model.json"
    path.write_text(json.dumps({"model": name, "model_kwargs": SETTINGS.get(name, {}) | settings}))
    return path


@pytest.fixture
def explained(files, tool, tmp_path):
    """Run on line 5, in float64 unless told otherwise; give the JSON."""
    words, lines = files

    def run(*more):
        output = tmp_path / "why.json"
        test = ["--test-triple", *lines[5], "--top-k", len(lines), "--learning-rate", 0.5, "--output", output]
        result = tool("run", *words, *test, *more)
        assert result.exit_code == 0, result.output
        return json.loads(output.read_text())

    return run


def check(model: ERModel, contents, lines, rel):
    """Compare every influence with autograd's."""
    rows = torch.stack([torch.cat(list(gradients(model, triple, own_bce).values())) for triple in torch.tensor(lines)])
    expected, lengths = 0.5 * (rows @ rows[5]).numpy(), rows.norm(dim=1).numpy()
    found = {entry["train_index"]: entry["influence"] for entry in contents["influences"]}
    assert max(abs(expected[line] - value) / (lengths[line] * lengths[5]) for line, value in found.items()) < rel
    assert all(abs(expected[line]) <= rel * lengths[line] * lengths[5] for line in set(range(len(lines))) - set(found))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_state_dict_and_its_description_are_explained(name, models, files, explained, tmp_path):
    torch.save(models[name].state_dict(), tmp_path / "model.pt")
    words = ["--model-path", tmp_path / "model.pt", "--model-description", describe(tmp_path, name)]
    contents = explained(*words, "--precision", "float64")
    check(models[name], contents, files[1], 1e-9)
    assert contents["run"]["model"].startswith(name)
