"""A result that is read back equals what the run returned, to the last bit: of every kind of run, in every form."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from result_bits import result_bits
from small_graph import Graph, MakeJob, labels, save_checkpoint, small_model

import tracin_dask
from tracin_dask.errors import ResultError
from tracin_dask.influence.losses import OneToAll
from tracin_dask.models.load import load_checkpoint
from tracin_dask.report.result import InfluenceResult
from tracin_dask.triples.group_ingest import ingest_groups

KINDS = {
    "plain": {},
    "plain and short": {"top_k": 2},
    "plain and whole": {"top_k": 700},
    "each relation": {"top_k": 3, "top_k_per": "relation"},
    "self": {"mode": "self"},
    "contrast": {"contrast": (5, 6, 7), "explain": "score"},
    "opponents": {"rank_by": "opponents", "loss": OneToAll(label_smoothing=0.1)},
    "cosine": {"normalize": "cosine", "checkpoint_contributions": True},
    "nothing": {"mode": "self", "rank_by": "opponents", "checkpoint_contributions": True},
    "float64": {"precision": "float64"},
    "groups": {"group_by": ("relation", "head", "tail")},
    "ranks": {"rank_of": "some lines"},
    "ranks of self": {"mode": "self", "rank_of": "some lines", "rank_by": "proponents"},
    "masked": {"rank_of": "some lines", "only_relations": (0, 2), "touching": "either"},
    "masked alike": {"mode": "self", "exclude_relations": (3,)},
    "groups of self": {"group_by": ("relation", "head"), "mode": "self"},
}


@pytest.fixture(params=KINDS)
def result(request: pytest.FixtureRequest, make_job: MakeJob, graph: Graph) -> InfluenceResult:
    """Give the result of a run of this kind."""
    options = dict(KINDS[request.param])
    if "precision" in options:
        options |= {"model": load_checkpoint(graph.folder / "best_model.pt", dtype=torch.float64)}
    if "rank_of" in options:
        options |= {"rank_of": graph.lines[[17, 3, 200]].tolist()}
    return make_job(**options).carry_out()


def test_a_folder_gives_back_the_whole_result(result: InfluenceResult, tmp_path: Path):
    result.write_directory(tmp_path / "why")
    assert result_bits(tracin_dask.read_result(tmp_path / "why")) == result_bits(result)
    assert tracin_dask.read_result(tmp_path / "why") == result
    assert result_bits(tracin_dask.read_result(tmp_path / "why" / "summary.json")) == result_bits(result)


def test_a_parquet_file_gives_back_the_whole_result(result: InfluenceResult, tmp_path: Path):
    tracin_dask.write_result(result, tmp_path / "why.parquet")
    assert result_bits(tracin_dask.read_result(tmp_path / "why.parquet")) == result_bits(result)
    table = pd.read_parquet(tmp_path / "why.parquet")
    pd.testing.assert_frame_equal(table, result.to_pandas())


@pytest.fixture
def one_triple(make_job: MakeJob, graph: Graph) -> Callable[..., InfluenceResult]:
    return lambda **options: make_job(tests=graph.test_triples[:1], **options).carry_out()


def test_a_json_file_gives_back_the_whole_result(one_triple, make_job: MakeJob, tmp_path: Path):
    for number, options in enumerate([{}, {"contrast": (5,)}, {"group_by": ("tail",)}, {"normalize": "relatif"}]):
        found = one_triple(**options)
        tracin_dask.write_result(found, tmp_path / f"{number}.json")
        assert result_bits(tracin_dask.read_result(tmp_path / f"{number}.json")) == result_bits(found)
    own = make_job(mode="self", group_by=("relation",)).carry_out()
    own.write_json(tmp_path / "self.json")
    assert result_bits(tracin_dask.read_result(tmp_path / "self.json")) == result_bits(own)


def test_contributions_of_several_checkpoints_come_back(make_job: MakeJob, tmp_path: Path):
    series = [load_checkpoint(save_checkpoint(tmp_path / f"{seed}.pt", small_model(seed))) for seed in (31, 32)]
    for mode in ("test", "self"):
        found = make_job(model=series, learning_rate=(0.1, 0.02), mode=mode, checkpoint_contributions=True).carry_out()
        found.write_directory(tmp_path / mode)
        again = tracin_dask.read_result(tmp_path / mode)
        assert again.contributions[0].shape == (20, 2)
        assert result_bits(again) == result_bits(found)
        tracin_dask.write_result(found, tmp_path / f"{mode}.parquet")
        assert result_bits(tracin_dask.read_result(tmp_path / f"{mode}.parquet")) == result_bits(found)


@pytest.fixture(scope="module")
def many_groups(graph: Graph, tmp_path_factory: pytest.TempPathFactory):
    """Put every distinct training triple in a group of its own: 450."""
    folder = tmp_path_factory.mktemp("groups")
    lines = ["\t".join([*labels(line), f'"{line.tolist()}", α']) for line in graph.lines]
    (folder / "each.tsv").write_text("\n".join(lines) + "\n")
    return ingest_groups(folder / "each.tsv", graph.store, folder / "each.zarr")


def test_all_groups_come_back_though_the_json_lists_the_largest(make_job: MakeJob, many_groups, tmp_path: Path):
    found = make_job(group_by=("relation", many_groups)).carry_out()
    found.write_directory(tmp_path)
    listed = json.loads((tmp_path / "summary.json").read_text())["results"]
    one = json.loads((tmp_path / listed[1]["file"]).read_text())
    assert (one["group_totals"][1]["num_groups"], len(one["group_totals"][1]["groups"])) == (450, 100)
    assert one["all_groups"] == {"file": "all_groups.parquet", "test_index": 1}
    again = tracin_dask.read_result(tmp_path)
    assert len(again.groups[1].groups) == 450
    assert result_bits(again) == result_bits(found)
    tracin_dask.write_result(found, tmp_path / "why.parquet")
    assert result_bits(tracin_dask.read_result(tmp_path / "why.parquet")) == result_bits(found)
    single = tracin_dask.read_result(tmp_path / listed[1]["file"])
    assert single.groups[1].net.tobytes() == found.groups[1].net[1].tobytes()


def test_listed_groups_are_read_without_the_file_of_all(make_job: MakeJob, many_groups, tmp_path: Path):
    found = make_job(group_by=("relation", many_groups)).carry_out()
    found.write_directory(tmp_path)
    (tmp_path / "all_groups.parquet").unlink()
    with pytest.raises(ResultError, match=r"all_groups.parquet: missing, but it has the totals of all groups"):
        tracin_dask.read_result(tmp_path)
    again = tracin_dask.read_result(tmp_path, all_groups=False)
    for test in range(3):
        assert again.to_dict(test) == found.to_dict(test)
        assert again.groups[1].table(test).equals(found.groups[1].table(test, most=100))
    assert result_bits(again.groups[0]) == result_bits(found.groups[0])


def test_a_test_triple_that_is_repeated_has_a_file_of_its_own(make_job: MakeJob, graph: Graph, tmp_path: Path):
    triple = graph.test_triples[0]
    found = make_job(tests=np.stack([triple, graph.test_triples[1], triple])).carry_out()
    found.write_directory(tmp_path)
    stem = f"triple_{'_'.join(map(str, triple.tolist()))}"
    assert {f"{stem}.json", f"{stem}_again_2.json"} < {path.name for path in tmp_path.iterdir()}
    assert result_bits(tracin_dask.read_result(tmp_path)) == result_bits(found)


def test_no_label_is_kept_of_what_is_not_reported(one_triple, graph: Graph):
    found = one_triple(top_k=1, rank_by="proponents")
    ids = {*graph.test_triples[0, [0, 2]].tolist(), *found.rankings[0].triples[0, [0, 2]].tolist()}
    assert set(found.labels.entities.ids.tolist()) == ids
    with pytest.raises(ResultError, match="the result has no label of id 59: it knows those of its own triples"):
        found.labels.describe((59, 0, 59))
