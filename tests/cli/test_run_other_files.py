"""`run` explains checkpoints of other programs, says what it took from them, and states it in the result."""

import json
import warnings

import pytest
import torch
from pykeen.datasets import Nations
from pykeen.models import DistMult
from pykeen.training import SLCWATrainingLoop

from tracin_dask.errors import CheckpointError


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Give the folder of a training of PyKEEN's: its own checkpoint, the triples as labels, and a description."""
    folder = tmp_path_factory.mktemp("pykeen")
    factory = Nations().training
    loop = SLCWATrainingLoop(
        model=DistMult(triples_factory=factory, embedding_dim=4, random_seed=0),
        triples_factory=factory,
        optimizer="adam",
    )
    options = {"checkpoint_directory": folder, "checkpoint_name": "model.pt", "checkpoint_frequency": 0}
    with warnings.catch_warnings(action="ignore"):  # PyKEEN's advice about its own defaults
        loop.train(factory, num_epochs=1, batch_size=512, use_tqdm=False, **options)
    labels = factory.label_triples(factory.mapped_triples)[:200]
    (folder / "train.txt").write_text("".join("\t".join(row) + "\n" for row in labels))
    (folder / "model.json").write_text('{"model": "DistMult", "model_kwargs": {"embedding_dim": 4}}')
    return folder, factory


@pytest.fixture
def words(training, tmp_path):
    folder, _ = training
    words = ["--model-path", folder / "model.pt", "--model-description", folder / "model.json"]
    words += ["--train", folder / "train.txt", "--cache-dir", tmp_path / "cache", "--threads-per-worker", 1]
    return [*words, "--mode", "self", "--learning-rate", 1]


def test_id_maps_that_are_not_given_are_those_of_the_checkpoint(training, words, tool, tmp_path):
    factory = training[1]
    ran = tool("run", *words, "--output", tmp_path / "why.json")
    assert ran.exit_code == 0, ran.output
    assert "id maps that are not given are those that" in ran.output
    assert "without an id map" not in ran.output
    for kind, ids in (("entity", factory.entity_to_id), ("relation", factory.relation_to_id)):
        (tmp_path / f"{kind}.tsv").write_text("".join(f"{label}\t{number}\n" for label, number in ids.items()))
        words += [f"--{kind}-to-id", tmp_path / f"{kind}.tsv"]
    given = tool("run", *words, "--output", tmp_path / "given.json")
    assert "id maps that are not given" not in given.output
    found, wanted = (json.loads((tmp_path / name).read_text()) for name in ("why.json", "given.json"))
    assert {**found, "run": None} == {**wanted, "run": None}


def test_id_maps_that_differ_from_those_of_the_checkpoint_are_refused(training, words, tool, tmp_path):
    labels = sorted(training[1].entity_to_id, reverse=True)
    (tmp_path / "entity.tsv").write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(labels)))
    with pytest.raises(CheckpointError, match=r"other id maps of the same size: its entity 0 is 'brazil', and 'ussr'"):
        tool("plan", *words, "--entity-to-id", tmp_path / "entity.tsv")


def test_what_was_chosen_in_a_file_is_said_once_and_stated(training, words, tool, tmp_path):
    folder, _ = training
    contents = torch.load(folder / "model.pt", weights_only=False)
    for number in (1, 2):
        state = {f"module.{name}": number * tensor for name, tensor in contents["model_state_dict"].items()}
        torch.save(contents | {"model_state_dict": state, "epoch": number}, tmp_path / f"epoch_{number}.pth")
    words[1:2] = [tmp_path / f"epoch_{number}.pth" for number in (1, 2)]
    ran = tool("run", *words, "--output", tmp_path / "why.json")
    assert ran.exit_code == 0, ran.output
    note = "'module.', which a wrapper of the model adds, was taken off the names of its tensors"
    assert ran.output.count(note) == 1
    assert f"epoch_1.pth and 1 more: {note}" in ran.output
    stated = json.loads((tmp_path / "why.json").read_text())["run"]["checkpoints"]
    assert [checkpoint["notes"] for checkpoint in stated] == [[note], [note]]
