"""A result as JSON, as a table and as files: the documented shapes, whole or not at all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_graph import NUM_ENTITIES, NUM_RELATIONS, Graph, MakeJob, ingest_graph, labels

from tracin_dask.launch.run import run
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.places.files import write_json_file
from tracin_dask.places.registry import place_of
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.config import RunConfig
from tracin_dask.triples.ingest import IngestOptions

ROLES = ("head", "relation", "tail")


@pytest.fixture(scope="module")
def result(make_job: MakeJob) -> InfluenceResult:
    return make_job(top_k=12).carry_out()


@pytest.fixture(scope="module")
def self_result(make_job: MakeJob) -> InfluenceResult:
    return make_job(mode="self", top_k=12).carry_out()


@pytest.fixture(scope="module")
def named_result(graph: Graph, checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> InfluenceResult:
    """Give a result over a store that knows the names of all entities but 3, and of relation 0."""
    folder = tmp_path_factory.mktemp("named")
    lines = [f'gene "{number}", α\t{number}\n' for number in range(NUM_ENTITIES) if number != 3]
    (folder / "names.txt").write_text("".join(lines))
    edge = json.dumps({"predicate": "biolink:affects", "object_aspect_qualifier": "activity"})
    (folder / "edge_map.json").write_text(json.dumps({edge: labels(np.zeros(3, int))[1]}))
    options = IngestOptions(entity_names=folder / "names.txt", edge_map=folder / "edge_map.json")
    store = ingest_graph(graph.folder, folder / "graph.zarr", options)
    return run(store, checkpoint, [[3, 0, 5]], config=RunConfig.of(top_k=400))


def test_the_json_of_a_result_has_the_documented_keys(result: InfluenceResult, graph: Graph):
    contents = result.to_dict(1)
    assert list(contents) == [
        "test_triple",
        "prediction",
        "top_k",
        "learning_rate",
        "influences",
        "further_influences",
        "run",
    ]
    triple = graph.test_triples[1]
    assert [contents["test_triple"][role] for role in ROLES] == triple.tolist()
    assert tuple(contents["test_triple"][f"{role}_label"] for role in ROLES) == labels(triple)
    assert (contents["top_k"], contents["learning_rate"]) == (12, 0.01)
    assert len(contents["influences"]) == 12
    for entry in contents["influences"]:
        ids = [f"train_{role}" for role in ROLES]
        assert set(entry) == {*ids, *(f"{name}_label" for name in ids), "influence", "train_index"}
        assert [entry[name] for name in ids] == graph.lines[entry["train_index"]].tolist()


def test_the_json_of_a_result_reads_back_equal(result: InfluenceResult, tmp_path: Path):
    result.write_json(tmp_path / "new" / "folder" / "result.json", 2)
    assert json.loads((tmp_path / "new" / "folder" / "result.json").read_text()) == result.to_dict(2)


def test_the_json_of_a_self_influence_result_has_its_own_keys(self_result: InfluenceResult, graph: Graph):
    contents = self_result.to_dict()
    assert list(contents) == ["mode", "top_k", "learning_rate", "self_influences", "run"]
    assert contents["mode"] == "self"
    assert len(contents["self_influences"]) == 12
    for entry in contents["self_influences"]:
        assert entry["self_influence"] > 0
        assert "influence" not in entry
        assert entry["train_tail"] == graph.lines[entry["train_index"]][2]


def test_a_result_has_names_if_the_store_has_them(named_result: InfluenceResult):
    contents = named_result.to_dict()
    assert contents["test_triple"]["tail_name"] == 'gene "5", α'
    assert contents["test_triple"]["relation_name"] == "biolink:affects (activity)"
    assert "head_name" not in contents["test_triple"]
    for entry in contents["influences"]:
        assert ("train_head_name" in entry) == (entry["train_head"] != 3)
        assert ("train_relation_name" in entry) == (entry["train_relation"] == 0)
    assert {entry["train_relation"] for entry in contents["influences"]} == set(range(NUM_RELATIONS))


def test_a_result_has_no_names_if_the_store_has_none(result: InfluenceResult):
    assert "name" not in json.dumps(result.to_dict()["influences"])


def test_the_pandas_table_has_a_row_per_test_triple_and_rank(result: InfluenceResult, graph: Graph):
    table = result.to_pandas()
    ids = [f"{side}_{role}{kind}" for side in ("test", "train") for role in ROLES for kind in ("", "_label")]
    predicted = {"test_score", "test_probability", "test_filtered_tail_rank", "test_raw_tail_rank"}
    assert set(table.columns) == {*ids, *predicted, "test_index", "rank", "influence", "train_index"}
    assert len(table) == 3 * 12
    assert table["test_index"].tolist() == sorted([0, 1, 2] * 12)
    assert table["rank"].tolist() == [*range(1, 13)] * 3
    assert table["influence"].tolist() == np.concatenate([r.influence for r in result.rankings]).tolist()
    assert (table[[f"train_{role}" for role in ROLES]].to_numpy() == graph.lines[table["train_index"]]).all()
    assert (table[[f"test_{role}" for role in ROLES]].to_numpy() == graph.test_triples[table["test_index"]]).all()
    kinds = {name: table[name].dtype.kind for name in ("test_index", "train_head", "rank", "train_index", "influence")}
    assert list(kinds.values()) == ["i", "i", "i", "i", "f"]
    assert table["train_head_label"].map(type).eq(str).all()


def test_the_pandas_table_of_self_influence_has_no_test_triple(self_result: InfluenceResult):
    table = self_result.to_pandas()
    assert len(table) == 12
    assert not [name for name in table.columns if name.startswith("test")]
    assert (table["self_influence"] > 0).all()


def test_an_empty_pandas_table_has_its_columns(result: InfluenceResult, self_result: InfluenceResult):
    for full in (result, self_result):
        nothing = replace(full, rankings=tuple(ranking.take(np.arange(0)) for ranking in full.rankings))
        assert list(nothing.to_pandas().columns) == list(full.to_pandas().columns)


def test_a_result_folder_has_a_file_per_test_triple_and_a_summary(result: InfluenceResult, graph: Graph, tmp_path):
    summary_path = result.write_directory(tmp_path / "out")
    names = [f"triple_{h}_{r}_{t}.json" for h, r, t in graph.test_triples.tolist()]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted([*names, "summary.json"])
    for index, name in enumerate(names):
        assert json.loads((tmp_path / "out" / name).read_text()) == result.to_dict(index)
    summary = json.loads(summary_path.read_text())
    assert summary["num_results"] == 3
    assert [about["file"] for about in summary["results"]] == names
    assert summary["results"][2]["test_triple"] == result.to_dict(2)["test_triple"]
    assert [about["num_influences"] for about in summary["results"]] == [12, 12, 12]
    assert summary["run"] == result.to_dict()["run"]


def test_a_result_folder_of_self_influence_has_one_file(self_result: InfluenceResult, tmp_path: Path):
    self_result.write_directory(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["self_influence.json", "summary.json"]
    assert json.loads((tmp_path / "self_influence.json").read_text()) == self_result.to_dict()


def test_labels_are_written_without_escapes(tmp_path: Path):
    write_json_file(place_of(tmp_path / "α.json"), {"name": 'Sjögren, "β"'})
    assert "Sjögren" in (tmp_path / "α.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_without_json_form_leaves_the_old_file(result: InfluenceResult, tmp_path: Path, value):
    path = tmp_path / "result.json"
    path.write_text("old")
    first = replace(result.rankings[0], influence=np.full(12, value))
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(result, rankings=(first, *result.rankings[1:])).write_json(path)
    assert path.read_text() == "old"


def test_a_failed_write_of_a_result_leaves_the_old_file(result: InfluenceResult, tmp_path: Path, monkeypatch):
    path = tmp_path / "result.json"
    result.write_json(path)

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        result.write_json(path, 1)
    assert json.loads(path.read_text()) == result.to_dict(0)
