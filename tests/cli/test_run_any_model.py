"""`run` explains other models from weights and a description, or from a trusted pickle; anything else is refused."""

import importlib
import json
import sys

import numpy as np
import pytest
import torch
from influence.any_model import SETTINGS, gradients, own_bce, pykeen_model
from pykeen.models import ERModel

from tracin_dask import ModelDescription, load_checkpoint
from tracin_dask.errors import CheckpointError, ConfigError, NoConvEError
from tracin_dask.models.description import as_description


@pytest.fixture(scope="module")
def models():
    """Make one small model of each kind, in float64."""
    return {name: pykeen_model(name) for name in SETTINGS}


@pytest.fixture
def files(tmp_path):
    """Write a graph of the models' sizes; return its options and lines."""
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
    """Run on the triple of line 5; return the JSON."""
    words, lines = files

    def run(*more):
        output = tmp_path / "why.json"
        test = ["--test-triple", *lines[5], "--top-k", len(lines), "--learning-rate", 0.5, "--output", output]
        result = tool("run", *words, *test, *more)
        assert result.exit_code == 0, result.output
        return json.loads(output.read_text())

    return run


def check(model: ERModel, contents, lines, rel):
    """Compare every influence with that of autograd."""
    rows = torch.stack([torch.cat(list(gradients(model, triple, own_bce).values())) for triple in torch.tensor(lines)])
    expected, lengths = 0.5 * (rows @ rows[5]).numpy(), rows.norm(dim=1).numpy()
    found = {entry["train_index"]: entry["influence"] for entry in contents["influences"]}
    assert max(abs(expected[line] - value) / (lengths[line] * lengths[5]) for line, value in found.items()) < rel
    assert all(abs(expected[line]) <= rel * lengths[line] * lengths[5] for line in set(range(len(lines))) - set(found))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_state_dict_with_its_description_gives_the_influences_of_autograd(name, models, files, explained, tmp_path):
    torch.save(models[name].state_dict(), tmp_path / "model.pt")
    words = ["--model-path", tmp_path / "model.pt", "--model-description", describe(tmp_path, name)]
    contents = explained(*words, "--precision", "float64")
    check(models[name], contents, files[1], 1e-9)
    assert contents["run"]["model"].startswith(name)


def test_a_pickled_model_needs_trust_pickle(models, files, explained, tool, tmp_path):
    torch.save(models["RotatE"], tmp_path / "trained_model.pkl")
    words = ["--model-path", tmp_path / "trained_model.pkl", "--precision", "float64"]
    with pytest.raises(CheckpointError, match=r"would unpickle objects, which can run code .*RotatE.*--trust-pickle"):
        tool("plan", *files[0], *words, "--mode", "self")
    torch.save(models["RotatE"], tmp_path / "trained_model.pkl", pickle_protocol=5)  # of which torch warns
    with pytest.raises(CheckpointError, match="would unpickle objects"):
        tool("plan", *files[0], *words, "--mode", "self")
    contents = explained(*words, "--trust-pickle")
    assert contents["run"]["model"] == "RotatE"
    check(models["RotatE"], contents, files[1], 1e-9)


def test_the_folder_of_a_pykeen_pipeline_is_a_model_path(models, files, explained, tmp_path):
    (tmp_path / "result").mkdir()
    torch.save(models["ConvE"], tmp_path / "result" / "trained_model.pkl")
    contents = explained("--model-path", tmp_path / "result", "--trust-pickle", "--precision", "float64")
    assert contents["run"]["model"] == "ConvE"
    check(models["ConvE"], contents, files[1], 1e-9)


def test_a_pykeen_model_in_float32_over_checkpoints_and_one_tensor(files, explained, tmp_path):
    for number in (1, 2):
        torch.save({"state_dict": pykeen_model("TuckER", seed=number).state_dict()}, tmp_path / f"epoch_{number}.pt")
    words = [
        "--model-path",
        tmp_path / "epoch_*.pt",
        "--model-description",
        describe(tmp_path, "tucker", **SETTINGS["TuckER"]),
    ]
    contents = explained(*words, "--parameters", "*core_tensor", "*batch_norm*", "--checkpoint-contributions")
    assert contents["run"]["model"] == "TuckER(embedding_dim=6, relation_dim=4)"
    assert contents["run"]["parameters"] == sorted(
        f"interaction.{name}"
        for name in (
            "core_tensor",
            *(f"head{of}_batch_norm.{n}" for of in ("", "_relation") for n in ("bias", "weight")),
        )
    )
    found = {entry["train_index"]: entry["influence"] for entry in contents["influences"]}
    expected = np.zeros(len(files[1]))
    for number in (1, 2):
        model = pykeen_model("TuckER", seed=number)
        some = [
            torch.cat([g for name, g in gradients(model, triple, own_bce).items() if "interaction" in name])
            for triple in torch.tensor(files[1])
        ]
        expected += 0.5 * (torch.stack(some) @ some[5]).numpy()
    assert len(found) == len(expected)
    np.testing.assert_allclose(
        [found[line] for line in range(len(expected))], expected, rtol=0, atol=1e-4 * expected[5]
    )


MODULE = """
import torch

class TransEWithBias(torch.nn.Module):
    tables = {"entities.weight": "entity", "relations.weight": "relation", "bias": "entity"}

    def __init__(self, num_entities, num_relations, dim):
        super().__init__()
        self.entities = torch.nn.Embedding(num_entities, dim)
        self.relations = torch.nn.Embedding(num_relations, dim)
        self.bias = torch.nn.Parameter(torch.zeros(num_entities))

    def score(self, triples):
        head, relation, tail = triples.T
        distance = self.entities(head) + self.relations(relation) - self.entities(tail)
        return self.bias[head] + self.bias[tail] - distance.square().sum(dim=1)
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Write an importable module with a model class of the user; return the class."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "of_my_own.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    yield importlib.import_module("of_my_own").TransEWithBias
    del sys.modules["of_my_own"]


def test_a_model_class_of_the_user_is_explained(own_module, files, explained, tmp_path):
    model = own_module(17, 4, 5).double()
    torch.save({"model_state_dict": model.state_dict(), "learning_rate": 0.3}, tmp_path / "mine.pt")
    (tmp_path / "model.json").write_text('{"model": "of_my_own:TransEWithBias", "model_kwargs": {"dim": 5}}')
    words = ["--model-path", tmp_path / "mine.pt", "--model-description", tmp_path / "model.json"]
    contents = explained(*words, "--precision", "float64")
    assert contents["run"]["model"] == "of_my_own:TransEWithBias(dim=5)"
    check(model, contents, files[1], 1e-9)


def test_plan_prints_the_method_for_other_models(models, files, tool, tmp_path):
    torch.save(models["TuckER"].state_dict(), tmp_path / "model.pt")
    words = ["--model-path", tmp_path / "model.pt", "--model-description", describe(tmp_path, "TuckER")]
    asked = ["plan", *files[0], *words, "--test-triple", *files[1][0], "--verbose"]
    plain, cosine = (" ".join(tool(*asked, *more).output.split()) for more in ([], ["--normalize", "cosine"]))
    assert "forward mode along each test triple's gradient, and of rows" in plain
    assert "with their lengths" in cosine


@pytest.mark.usefixtures("own_module")
def test_a_mismatch_of_weights_and_description_is_named(models, files, tool, tmp_path):
    state = {name: tensor.float() for name, tensor in models["TuckER"].state_dict().items()}
    path = tmp_path / "model.pt"

    def refused(saved, description, *more, error=CheckpointError):
        torch.save(saved, path)
        with pytest.raises(error) as caught:
            tool("plan", *files[0], "--model-path", path, "--model-description", description, "--mode", "self", *more)
        return str(caught.value)

    tucker = describe(tmp_path, "TuckER")
    assert (
        refused(state, describe(tmp_path, "TuckR"), error=ConfigError) == "PyKEEN has no model 'TuckR'; is it TuckER?"
    )
    told = refused(state, describe(tmp_path, "TuckER", dim=3))
    assert "TuckER refuses {'embedding_dim': 6, 'relation_dim': 4, 'dim': 3}: " in told
    assert "it takes: embedding_dim, relation_dim, dropout_0" in told
    told = refused(state, describe(tmp_path, "TuckER", create_inverse_triples=True), error=ConfigError)
    assert "give a relation map with two of every relation" in told
    told = refused({"x": torch.zeros(3)}, describe(tmp_path, "own.Bilinear"), error=ConfigError)
    assert told == "PyKEEN has no model own.Bilinear; a class of yours is package.module:Class, with a colon"
    tucker = describe(tmp_path, "TuckER", relation_dim=5)
    told = refused(state, tucker)
    assert "has other shapes: interaction.core_tensor (6, 4, 6), not (6, 5, 6), relation_representations.0" in told
    tucker = describe(tmp_path, "TuckER")
    told = refused(
        {name: tensor for name, tensor in state.items() if "core" not in name}
        | {"x": state["interaction.core_tensor"]},
        tucker,
    )
    assert "the file lacks interaction.core_tensor; it has unknown x" in told
    assert "no tensor entity_representations" in refused({"x": torch.zeros(3)}, tucker)
    broken = state | {"interaction.core_tensor": state["interaction.core_tensor"] / 0}
    assert "interaction.core_tensor has 144 NaN or infinite values of 144" in refused(broken, tucker)
    fewer = state | {"entity_representations.0._embeddings.weight": torch.zeros(16, 6)}
    assert "was trained with 16 entities, the id map has 17" in refused(fewer, tucker)
    doubled = state | {"relation_representations.0._embeddings.weight": torch.zeros(8, 4)}
    assert "the id map has 4; give the id maps that the model was trained with, in which every" in refused(
        doubled, tucker
    )
    assert "embedding_width are for ConvE" in refused(state, tucker, "--embedding-height", 2, error=ConfigError)
    whole = models["TuckER"]
    assert "needs no description" in refused(whole, tucker, "--trust-pickle", error=ConfigError)
    (tmp_path / "mine.json").write_text('{"model": "of_my_own:torch"}')
    assert "is not an nn.Module class" in refused(state, tmp_path / "mine.json", error=ConfigError)
    (tmp_path / "mine.json").write_text('{"model": "of_mine:TransE"}')
    assert "cannot be imported (ModuleNotFoundError: No module named 'of_mine')" in refused(
        state, tmp_path / "mine.json", error=ConfigError
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file of a model description"),
        ("[]", "a model description is an object; expected"),
        ('{"model": 3}', "model is 3; expected"),
        ('{"model": "RotatE", "kwargs": {}}', r"unknown key\(s\) kwargs; expected"),
        ('{"model": "RotatE", "model_kwargs": 3}', "model_kwargs is 3; expected"),
    ],
)
def test_a_malformed_model_description_is_refused(files, tool, tmp_path, text, message):
    (tmp_path / "model.json").write_text(text)
    words = ["--model-path", tmp_path / "train.txt", "--model-description", tmp_path / "model.json", "--mode", "self"]
    with pytest.raises(ConfigError, match=message):
        tool("plan", *files[0], *words)


def test_a_forgotten_model_description_is_requested(models, files, tool, tmp_path):
    torch.save(models["RotatE"].state_dict(), tmp_path / "model.pt")
    told = r"model\.pt: not a ConvE: it has none of its layers, interaction\.hr1d\.0\.bias.*; "
    with pytest.raises(NoConvEError, match=told + "for another model, give --model-description$"):
        tool("plan", *files[0], "--model-path", tmp_path / "model.pt", "--mode", "self")
    with pytest.raises(NoConvEError, match=told + "only ConvE checkpoints can be converted$"):
        tool("convert", "--input", tmp_path / "model.pt", "--output", tmp_path / "made.pt", "--to", "train_pytorch")


def test_a_conve_with_the_description_of_another_model_is_refused(models, files, tool, tmp_path):
    torch.save(models["ConvE"].state_dict(), tmp_path / "model.pt")
    words = ["--model-path", tmp_path / "model.pt", "--model-description", describe(tmp_path, "RotatE")]
    with pytest.raises(CheckpointError, match=r"this is a ConvE checkpoint; leave --model-description out .*RotatE"):
        tool("plan", *files[0], *words, "--mode", "self")


def test_a_model_description_may_be_a_mapping(models, tmp_path):
    torch.save(models["RotatE"].state_dict(), tmp_path / "model.pt")
    given = {"model": "RotatE", "model_kwargs": {"embedding_dim": 6}}
    loaded = load_checkpoint(tmp_path / "model.pt", description=given)
    assert loaded.format.description == ModelDescription(model="RotatE", model_kwargs={"embedding_dim": 6})
    with pytest.raises(ConfigError, match=r"^the description is 6; expected a tracin_dask\.ModelDescription"):
        as_description(6)


def test_a_file_of_weights_cannot_name_imports_and_is_no_pickled_model(models, files, tool, tmp_path):
    told = {"state_dict": models["RotatE"].state_dict(), "model_description": {"model": "os:abc", "model_kwargs": {}}}
    torch.save(told, tmp_path / "model.pt")
    words = ["--model-path", tmp_path / "model.pt", "--mode", "self"]
    with pytest.raises(CheckpointError, match="the file asks to import os:abc; files may not do that"):
        tool("plan", *files[0], *words)
    with pytest.raises(CheckpointError, match="the file asks to import os:abc; files may not do that"):
        tool("plan", *files[0], *words, "--trust-pickle")
