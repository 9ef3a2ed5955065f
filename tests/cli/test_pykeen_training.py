"""PyKEEN's datasets and folders `training_triples` are ingested as PyKEEN trains on them."""

import gzip
import json
import pathlib
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import random_model
from pykeen.datasets import Nations
from pykeen.triples import TriplesFactory

from tracin_dask.cli.main import group
from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.models.conve.model import SIZE_NAMES
from tracin_dask.models.pykeen.graph import read_id_maps, training_triples
from tracin_dask.models.pykeen.training_data import read_training_folder
from tracin_dask.places.registry import place_of
from tracin_dask.triples.store import open_store

LABELS = [["a b", "likes", '"quoted"'], ["NA", "likes", "a b"], ["null", "knows", "7"], ["a b", "likes", "NA"]]


@pytest.fixture(params=[False, True], ids=["plain", "inverses"])
def factory(request):
    triples = np.array(LABELS, dtype=str)
    metadata = {"path": pathlib.Path("/data/train.txt")}
    return TriplesFactory.from_labeled_triples(triples, create_inverse_triples=request.param, metadata=metadata)


@pytest.fixture
def folder(factory, tmp_path):
    factory.to_path_binary(tmp_path / "training_triples")
    return tmp_path / "training_triples"


def in_order(store):
    """The triples of a store in the order of `train_index`."""
    block = store.read(0, len(store))
    assert sorted(block.train_index.tolist()) == list(range(len(store)))
    return block.triples[np.argsort(block.train_index)].tolist()


def test_a_folder_is_ingested_with_the_ids_and_labels_that_pykeen_trains_on(tool, folder, factory, tmp_path):
    done = tool("ingest", folder, "-o", tmp_path / "graph.zarr")
    assert done.exit_code == 0, done.output
    store, maps = open_store(tmp_path / "graph.zarr"), read_id_maps(factory)
    assert store.entities.labels.to_pylist() == maps.entities.labels.to_pylist()
    assert store.relations.labels.to_pylist() == maps.relations.labels.to_pylist()
    assert store.info.id_maps_sha256 == maps.sha256
    assert in_order(store) == training_triples(factory).tolist()
    assert "train_index counts the triples of PyKEEN's mapped_triples from 0" in done.output
    assert not list(tmp_path.glob("*.tsv"))


def save_conve(path, store):
    sizes = {"num_entities": store.info.num_entities, "num_relations": store.info.num_relations}
    model = random_model(**sizes).float()
    config = {name: getattr(model.config, name) for name in SIZE_NAMES}
    torch.save({"model_state_dict": model.state_dict(), "model_config": config}, path)


@pytest.mark.parametrize("name", ["pykeen:Nations", "nations", "pykeen:nations+inverses"])
def test_run_takes_a_dataset_of_pykeen_by_its_name(tool, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    expected = Nations(create_inverse_triples=name.endswith("inverses")).training
    tool("ingest", name, "-o", "graph.zarr")
    save_conve(tmp_path / "model.pt", open_store("graph.zarr"))
    words = ["--model-path", "model.pt", "--train", name, "--cache-dir", "cache", "--output", "why.json"]
    done = tool("run", *words, "--test-triple", "uk", "embassy", "usa")
    assert done.exit_code == 0, done.output
    assert f"training triples: {len(training_triples(expected)):,} from pykeen:" in done.output
    assert "train_index counts" in done.output
    triples = training_triples(expected).tolist()
    for entry in json.loads(pathlib.Path("why.json").read_text())["influences"]:
        found = [entry[f"train_{role}"] for role in ("head", "relation", "tail")]
        assert triples[entry["train_index"]] == found


def test_a_file_with_the_name_of_a_dataset_is_taken_for_the_file(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("nations").write_text("a\tr\tb\n")
    tool("ingest", "nations", "-o", "graph.zarr")
    assert len(open_store("graph.zarr")) == 1


def test_an_unknown_dataset_is_refused_with_a_suggestion(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match="no file natoins, and PyKEEN has no dataset of this name; did you mean nations"
    ):
        tool("ingest", "natoins", "-o", "graph.zarr")
    missing = CliRunner().invoke(group, ["ingest", "missing.txt", "-o", "graph.zarr"])
    assert missing.exit_code == 2
    assert "'missing.txt' does not exist" in missing.output


def test_without_pykeen_a_name_is_refused_as_a_file_that_does_not_exist(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for module in [name for name in sys.modules if name.startswith("tracin_dask.models.pykeen.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pykeen.datasets", None)
    with pytest.raises(ConfigError, match=r"pykeen:nations: there is no such file; as a dataset of PyKEEN, this needs"):
        tool("ingest", "nations", "-o", "graph.zarr")


@pytest.mark.parametrize("option", ["--labels", "--ids", "--skip-invalid", "--entity-to-id"])
def test_options_of_text_files_are_refused_for_training_triples_of_pykeen(tool, folder, tmp_path, option):
    (tmp_path / "e.tsv").write_text("a\t0\n")
    words = [option, tmp_path / "e.tsv"] if option == "--entity-to-id" else [option]
    with pytest.raises(ConfigError, match=rf"{option}: only for a text file; .* has ids and id maps of its own"):
        tool("ingest", folder, "-o", tmp_path / "graph.zarr", *words)


def test_a_folder_that_pykeen_did_not_write_is_refused(tool, tmp_path):
    with pytest.raises(ConfigError, match="is a folder, but none that PyKEEN wrote"):
        tool("ingest", tmp_path, "-o", tmp_path / "graph.zarr")


@pytest.mark.parametrize("name", ["base.pth", "entity_to_id.tsv.gz", "relation_to_id.tsv.gz", "numeric_triples.tsv.gz"])
@pytest.mark.parametrize("fault", ["missing", "cut", "garbage"])
def test_a_missing_or_damaged_file_of_a_folder_is_named(folder, name, fault):
    path = folder / name
    contents = path.read_bytes()
    path.write_bytes(contents[: len(contents) // 2] if fault == "cut" else b"no such file")
    if fault == "missing":
        path.unlink()
    with pytest.raises(TriplesError, match=rf"{name}: cannot be read .*expected a folder that PyKEEN's"):
        read_training_folder(place_of(folder))


def test_a_table_with_other_columns_is_named(folder):
    (folder / "entity_to_id.tsv.gz").write_bytes(gzip.compress(b"name\tnumber\na\t0\n"))
    with pytest.raises(TriplesError, match=r"entity_to_id\.tsv\.gz: cannot be read as columns label, id"):
        read_training_folder(place_of(folder))


def test_no_code_of_a_folder_is_run(folder, tmp_path):
    class Evil:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "ran",))

    contents = {"num_entities": 1, "num_relations": 1, "create_inverse_triples": False, "metadata": Evil()}
    torch.save(contents, folder / "base.pth")
    with pytest.raises(TriplesError, match=r"base\.pth: cannot be read without running code from it"):
        read_training_folder(place_of(folder))
    assert not (tmp_path / "ran").exists()
