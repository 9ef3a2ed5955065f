"""`tracin-dask train` takes datasets and folders of PyKEEN, as `run` and `ingest` do."""

import json
import shlex
from pathlib import Path

import pytest
from pykeen.datasets import Nations

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.models.checkpoints.checkpoint import check_fits
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.pykeen.graph import read_id_maps, training_triples
from tracin_dask.models.training import training
from tracin_dask.triples.idmap import read_id_map

SMALL = [
    *("--embedding-dim", 6, "--embedding-height", 3, "--embedding-width", 2, "--output-channels", 2),
    *("--kernel-height", 2, "--kernel-width", 2, "--num-epochs", 1, "--batch-size", 512, "--no-gpu"),
]


@pytest.fixture
def train(tool, tmp_path, monkeypatch):
    """Train a small model in an empty folder; give what was said, and the triples that were trained on."""
    seen = []
    trainer = training.train

    def watched(data, *rest, **options):
        seen.append(data)
        return trainer(data, *rest, **options)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tracin_dask.cli.actions.train.train", watched)

    def run(*words):
        done = tool("train", *words, *SMALL, "-o", "model")
        assert done.exit_code == 0, done.output
        return done.output, seen[-1]

    return run


@pytest.mark.parametrize("name", ["pykeen:Nations", "pykeen:Nations+inverses"])
def test_train_takes_all_three_parts_of_a_dataset_of_pykeen(train, tool, name):
    dataset = Nations(create_inverse_triples=name.endswith("inverses"))
    said, data = train("--train", name, "--valid", "pykeen:Nations", "--test", "pykeen:Nations")
    assert data.train.tolist() == training_triples(dataset.training).tolist()
    step = 2 if name.endswith("inverses") else 1  # relation r is row 2r of a table with inverses
    for found, part in ((data.valid, dataset.validation), (data.test, dataset.testing)):
        assert found[:, 1].tolist() == (step * part.mapped_triples[:, 1]).tolist()
        assert found[:, [0, 2]].tolist() == part.mapped_triples[:, [0, 2]].tolist()
    assert "Wrote the id maps of PyKEEN: model/entity_to_id.tsv and model/relation_to_id.tsv." in said
    sources = json.loads(Path("model/config.json").read_text())["data"]
    assert [sources[f"{part}_path"] for part in ("train", "valid", "test")] == [name, *["pykeen:Nations"] * 2]
    maps = read_id_maps(dataset.training)
    assert read_id_map("model/relation_to_id.tsv").labels.to_pylist() == maps.relations.labels.to_pylist()
    sizes = {"num_entities": len(maps.entities), "num_relations": len(maps.relations)}
    check_fits(load_checkpoint("model/best_model.pt"), **sizes, id_maps_sha256=maps.sha256)
    (command,) = [line for line in said.splitlines() if line.startswith("Next: ")]
    words = shlex.split(command.replace("HEAD RELATION TAIL", "uk embassy usa"))[2:]
    assert words[:5] == ["run", "--model-path", "model/best_model.pt", "--train", name]
    explained = tool(*words, "--cache-dir", "cache")
    assert explained.exit_code == 0, explained.output


def test_train_takes_folders_of_pykeen_and_a_text_file_of_labels(train, tmp_path):
    dataset = Nations()
    dataset.to_directory_binary(tmp_path / "nations")
    (tmp_path / "test.txt").write_text("uk\tembassy\tusa\n")
    folders = ["--train", "nations/training", "--valid", "nations/validation"]
    _, data = train(*folders, "--test", "test.txt")
    assert data.train.tolist() == dataset.training.mapped_triples.tolist()
    assert data.valid.tolist() == dataset.validation.mapped_triples.tolist()
    factory = dataset.training
    uk, embassy, usa = factory.entity_to_id["uk"], factory.relation_to_id["embassy"], factory.entity_to_id["usa"]
    assert data.test.tolist() == [[uk, embassy, usa]]


def test_train_refuses_options_that_contradict_triples_of_pykeen(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.txt").write_text("uk\tembassy\tusa\nusa\tembassy\tuk\n")
    (tmp_path / "other").mkdir()
    pykeen = ["--train", "pykeen:nations"]
    for words, message in [
        (
            [*pykeen, "--entity-to-id", "train.txt"],
            r"--entity-to-id: only for a text file; pykeen:nations has ids and id",
        ),
        ([*pykeen, "--labels", "--no-header"], r"--labels, --header: only for a text file; pykeen:nations has ids and"),
        (["--train", "other"], r"other is a folder, but none that PyKEEN wrote; give a text file of triples, or a"),
        ([*pykeen, "--valid", "other"], r"other is a folder, but none that PyKEEN wrote"),
        (["--train", "natoins"], r"no file natoins, and PyKEEN has no dataset of this name; did you mean nations"),
        ([*pykeen, "--valid", "pykeen:kinships"], r"--valid pykeen:kinships has other labels or ids than the training"),
        (
            ["--train", "train.txt", "--valid", "pykeen:nations"],
            r"--valid pykeen:nations: triples of PyKEEN need a --tr",
        ),
    ]:
        with pytest.raises(ConfigError, match=message):
            tool("train", *words, *SMALL, "-o", "model")
    (tmp_path / "test.txt").write_text("nobody\tembassy\tusa\n")
    with pytest.raises(TriplesError, match=r"test\.txt.* unknown head label"):
        tool("train", *pykeen, "--test", "test.txt", *SMALL, "-o", "model")
    assert not (tmp_path / "model").exists()


def test_a_dataset_of_pykeen_without_validation_triples_is_refused(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Nations, "validation", None)
    with pytest.raises(ConfigError, match=r"PyKEEN's dataset nations has no validation triples; leave out --valid"):
        tool("train", "--train", "pykeen:nations", "--valid", "pykeen:nations", *SMALL, "-o", "model")
