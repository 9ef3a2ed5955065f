"""Masks leave training triples out of rankings and ranks: as a sort of the saved influences of all others does."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import zarr
from distributed import Client
from small_graph import BATCH_SIZE, NUM_RELATIONS, NUM_ROWS, Graph, MakeJob, bits, labels, relation

from tracin_dask.errors import ConfigError, ResumeError
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.runs.work.oom_retry import InPieces
from tracin_dask.triples.training_triples import read_training_triples

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 2}
CANDIDATE_LINES = [5, 17, 3, 300, 301, 302, 699]


@dataclass(frozen=True, kw_only=True)
class EarlyLines:
    """A mask as a user writes one: ranks the first lines of the training file."""

    stop: int
    name: str = "early_lines"
    num_bytes: int = 0

    @property
    def identity(self) -> int:
        return self.stop

    def rows(self, _triples, train_index):
        return train_index < self.stop

    def pairs(self, _triples, _train_index, _targets):
        return None


def is_ranked(graph: Graph, options: dict) -> np.ndarray:
    """Say line by line and for each test triple what is ranked [test, line], without the code of masks."""
    found = np.ones((3, NUM_ROWS), dtype=bool)
    for test, asked in enumerate(graph.test_triples.tolist()):
        for line, (head, kind, tail) in enumerate(graph.lines.tolist()):
            ends = {head, tail}
            touches = {"head": asked[0] in ends, "tail": asked[2] in ends}
            touches |= {"either": touches["head"] or touches["tail"], "both": touches["head"] and touches["tail"]}
            found[test, line] = (
                (kind in options["only_relations"] if "only_relations" in options else True)
                and kind not in options.get("exclude_relations", ())
                and touches.get(options.get("touching"), True)
                and not (options.get("exclude_self") and [head, kind, tail] == asked)
            )
    if "candidates" in options:
        listed = {tuple(triple) for triple in options["candidates"]}
        found &= np.array([tuple(triple) in listed for triple in graph.lines.tolist()])
    return found


def by_line(path: Path) -> np.ndarray:
    """Read all influences [test, line]."""
    saved = zarr.open_group(path, mode="r")
    name = "influence" if "influence" in saved else "self_influence"
    return np.atleast_2d(saved[name][:])[:, np.argsort(saved["train_index"][:])]


def assert_masked(result: InfluenceResult, influences: np.ndarray, ranked: np.ndarray, rank_by: str) -> None:
    for test, ranking in enumerate(result.rankings):
        values = influences[test]
        cost = {"absolute": -np.abs(values), "proponents": -values, "opponents": values}[rank_by]
        left = np.flatnonzero(ranked[test] & ((cost < 0) if rank_by != "absolute" else True))
        best = left[np.lexsort((left, cost[left]))][: result.top_k]
        assert ranking.train_index.tolist() == best.tolist()
        assert ranking.influence.astype(np.float32).tobytes() == values[best].tobytes()
    assert result.num_ranked.tolist() == ranked.sum(axis=1).tolist()


MASKS = {
    "only": {"only_relations": (1, 3)},
    "exclude": {"exclude_relations": (0, 2)},
    "candidates": {"candidates": "some lines"},
    "head": {"touching": "head"},
    "tail": {"touching": "tail"},
    "either": {"touching": "either"},
    "both": {"touching": "both"},
    "self": {"exclude_self": True},
    "all of them": {"exclude_relations": (4,), "touching": "either", "exclude_self": True, "candidates": "some lines"},
    "proponents": {"touching": "either", "rank_by": "proponents"},
    "opponents": {"only_relations": (2,), "exclude_self": True, "rank_by": "opponents"},
}


@pytest.fixture(params=MASKS)
def options(request: pytest.FixtureRequest, graph: Graph) -> dict:
    chosen = dict(MASKS[request.param])
    if "candidates" in chosen:
        chosen["candidates"] = graph.lines[CANDIDATE_LINES].tolist()
    return chosen


def test_rankings_are_those_of_the_training_triples_that_are_left(make_job: MakeJob, graph, options, tmp_path: Path):
    path = tmp_path / "scores.zarr"
    job = make_job(save_scores=path, top_k=12, **options)
    result = job.carry_out(**SMALL_TASKS)
    ranked = is_ranked(graph, options)
    assert 0 < ranked.sum() < ranked.size
    assert_masked(result, by_line(path), ranked, options.get("rank_by", "absolute"))
    alone = make_job(top_k=12, **options).carry_out(**SMALL_TASKS)
    assert bits(alone) == bits(result)  # batches that have nothing to rank are not scored


def test_a_list_of_all_that_is_left_is_complete(make_job: MakeJob, graph: Graph, tmp_path: Path):
    path = tmp_path / "scores.zarr"
    options = {"touching": "either", "only_relations": (1, 2)}
    result = make_job(save_scores=path, top_k=NUM_ROWS, **options).carry_out(**SMALL_TASKS)
    assert_masked(result, by_line(path), is_ranked(graph, options), "absolute")


def test_ranks_count_only_what_is_left(make_job: MakeJob, graph: Graph, options, tmp_path: Path):
    path = tmp_path / "scores.zarr"
    result = make_job(save_scores=path, rank_of=graph.lines.tolist(), **options).carry_out(**SMALL_TASKS)
    influences, ranked = by_line(path), is_ranked(graph, options)
    for test, values in enumerate(influences):
        rank_by = options.get("rank_by", "absolute")
        cost = {"absolute": -np.abs(values), "proponents": -values, "opponents": values}[rank_by]
        left = np.flatnonzero(ranked[test])
        expected = np.zeros(NUM_ROWS, np.int64)
        expected[left[np.lexsort((left, cost[left]))]] = np.arange(1, len(left) + 1)
        assert result.ranks.rank[test].tolist() == expected[result.ranks.train_index].tolist()
        percentiles = result.ranks.percentile(test)
        assert np.isnan(percentiles).tolist() == (~ranked[test][result.ranks.train_index]).tolist()
    assert result.ranks.num_ranked.tolist() == ranked.sum(axis=1).tolist()


def test_self_influence_is_masked_by_rows(make_job: MakeJob, graph: Graph, tmp_path: Path):
    path, options = tmp_path / "scores.zarr", {"only_relations": (1,)}
    result = make_job(mode="self", save_scores=path, **options).carry_out(**SMALL_TASKS)
    assert_masked(result, by_line(path), is_ranked(graph, options)[:1], "absolute")


def test_groups_and_saved_scores_are_of_all_training_triples(make_job: MakeJob, tmp_path: Path):
    kept = {"group_by": ("relation",)}
    masked = make_job(only_relations=(1,), save_scores=tmp_path / "masked.zarr", **kept).carry_out()
    plain = make_job(save_scores=tmp_path / "plain.zarr", **kept).carry_out()
    assert masked.groups[0].net.tobytes() == plain.groups[0].net.tobytes()
    assert masked.groups[0].num_triples.sum() == NUM_ROWS
    assert by_line(tmp_path / "masked.zarr").tobytes() == by_line(tmp_path / "plain.zarr").tobytes()


@pytest.mark.parametrize("mask", [{"touching": "either", "exclude_self": True}, {"masks": (EarlyLines(stop=300),)}])
def test_workers_and_task_sizes_change_no_masked_ranking(make_job: MakeJob, client: Client, mask):
    job = make_job(rank_of=[make_job().prepared.store.read(0, 1).triples[0].tolist()], **mask)
    whole = job.carry_out()
    for result in (
        job.carry_out(task_rows=3 * BATCH_SIZE, tasks_per_group=2),
        job.carry_out(client, task_rows=BATCH_SIZE, tasks_per_group=9),
    ):
        assert bits(result) == bits(whole)
        assert result.num_ranked.tolist() == whole.num_ranked.tolist()
        assert result.ranks.rank.tolist() == whole.ranks.rank.tolist()


def test_batches_with_nothing_to_rank_are_not_scored(make_job: MakeJob, graph: Graph, monkeypatch):
    """The candidates are the rows of one head: they stand in few batches of the store."""
    head = graph.store.read(350, 351).triples[0, 0]
    lines = graph.lines[graph.lines[:, 0] == head].tolist()
    rows = np.flatnonzero(graph.store.read(0, NUM_ROWS).triples[:, 0] == head)
    scored = []
    job = make_job(candidates=lines, audit=0)
    index = InPieces.index

    def counted(self, ids, *beside):
        scored.append(len(ids))
        return index(self, ids, *beside)

    monkeypatch.setattr(InPieces, "index", counted)
    job.carry_out()
    assert len(scored) == len(np.unique(rows // BATCH_SIZE)) <= 2
    scored.clear()
    make_job(candidates=lines, group_by=("head",), audit=0).carry_out()
    assert sum(scored) == NUM_ROWS


def test_test_triples_explained_together_touch_with_any_member(make_job: MakeJob, graph: Graph):
    result = make_job(together=("a", "b", "a"), touching="head", top_k=NUM_ROWS).carry_out()
    each = is_ranked(graph, {"touching": "head"})
    assert result.num_ranked.tolist() == [(each[0] | each[2]).sum(), each[1].sum()]
    assert set(result.rankings[0].train_index.tolist()) == set(np.flatnonzero(each[0] | each[2]).tolist())
    own = make_job(together=True, exclude_self=True).carry_out()
    assert own.num_ranked.tolist() == [is_ranked(graph, {"exclude_self": True}).all(axis=0).sum()]


def stop_late(done: int, _total: int) -> None:
    """End the run in its fourth group: three are recorded."""
    if done > 6 * BATCH_SIZE:
        raise InterruptedError


def test_a_masked_run_is_resumed_only_with_the_same_masks(make_job: MakeJob, tmp_path: Path):
    job, execution = make_job(touching="either"), Execution(record_directory=tmp_path, progress=stop_late)
    with pytest.raises(InterruptedError):
        job.carry_out(execution=execution, **SMALL_TASKS)
    for other in ({}, {"touching": "both"}, {"touching": "either", "exclude_self": True}):
        with pytest.raises(ResumeError, match=r"another run \(num ranked: \{'touching': 'either'\} then, .* now\)"):
            make_job(**other).carry_out(execution=Execution(record_directory=tmp_path))
    result = job.carry_out(execution=Execution(record_directory=tmp_path), **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == 6 * BATCH_SIZE
    assert bits(result) == bits(job.carry_out())
    assert result.num_ranked.tolist() == job.carry_out().num_ranked.tolist()


def test_the_result_says_how_many_were_ranked_and_why(make_job: MakeJob, graph: Graph, tmp_path: Path):
    (tmp_path / "some.txt").write_text("\t".join(labels(graph.lines[3])) + "\nno\tsuch\ttriple\n")
    candidates = read_training_triples(tmp_path / "some.txt", graph.store, skip_invalid=True)
    result = make_job(candidates=candidates, only_relations=(relation(1), relation(int(graph.lines[3, 1])))).carry_out()
    contents = json.loads(json.dumps(result.to_dict(0)))
    number = int((graph.lines == graph.lines[3]).all(axis=1).sum())
    assert contents["num_ranked_rows"] == contents["run"]["num_ranked_rows"] == number
    assert contents["run"]["masks"] == {
        "only_relations": [relation(1), relation(int(graph.lines[3, 1]))],
        "candidates": {
            "num_training_triples": number,
            "skipped_lines": {"unknown head label": 1},
            "file": "some.txt",
        },
    }
    by_pair = make_job(touching="head", exclude_self=True).carry_out()
    assert "num_ranked_rows" not in by_pair.run
    assert by_pair.run["masks"] == {"touching": "head", "exclude_self": True}
    assert by_pair.to_dict(1)["num_ranked_rows"] == by_pair.num_ranked[1]
    plain = make_job().carry_out()
    assert "masks" not in plain.run
    assert "num_ranked_rows" not in plain.to_dict(0)


def test_an_empty_list_of_nothing_left_has_no_entries(make_job: MakeJob):
    result = make_job(masks=(EarlyLines(stop=0),), checkpoint_contributions=True, normalize="cosine").carry_out()
    assert [len(ranking) for ranking in result.rankings] == [0, 0, 0]
    assert result.num_ranked.tolist() == [0, 0, 0]
    assert result.to_dict(0)["influences"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only_relations": (5,)}, "only_relations: the relation 5 is not among the 5 that .*graph.zarr knows"),
        ({"exclude_relations": (-1,)}, "exclude_relations: the relation -1 is not among the 5"),
        (
            {"only_relations": ("0", "predicate:1")},
            r"the relation 0 is not .*; it was taken for a label, as others are",
        ),
        (
            {"candidates": []},
            r"candidates lists training triples as rows .* read_training_triples\(path, store\) reads",
        ),
        (
            {"rank_of": "file.txt"},
            r"rank_of lists training triples as rows .* read_training_triples\(path, store\) reads",
        ),
        ({"only_relations": ("predicate:8",)}, r"the relation predicate:8 is not .* \(did you mean predicate:\d"),
        ({"only_relations": ("GENE:07",)}, r"the relation GENE:07 is not .* \(it is an entity"),
        ({"exclude_relations": tuple(range(NUM_RELATIONS))}, "exclude_relations names all 5 relations .* leaves no"),
        ({"candidates": [[0, 0, 99]]}, "triple of candidates 1 of 1 .* the tail 99 is not among the 60"),
        ({"only_relations": (1,), "exclude_relations": (2,)}, "both choose the relations .* give only one of them"),
        ({"mode": "self", "touching": "head"}, "touching compares training .* mode 'self' has none; leave it out"),
        ({"mode": "self", "exclude_self": True}, "exclude_self compares training .* mode 'self' has none"),
        ({"masks": (EarlyLines(stop=1), EarlyLines(stop=2))}, "masks has the name 'early_lines' twice"),
        ({"masks": (EarlyLines(stop=1, name="touching"),)}, "masks has the name 'touching' .*; rename a mask"),
    ],
)
def test_masks_that_make_no_sense_are_refused(make_job: MakeJob, options, message):
    with pytest.raises(ConfigError, match=message):
        make_job(**options)


def test_an_unknown_way_of_touching_is_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    with pytest.raises(ConfigError, match="touching must be head, tail, either or both, not 'middle'"):
        RunConfig.of(touching="middle")


def test_the_memory_of_masks_is_planned(make_job: MakeJob, graph: Graph):
    without = make_job().plan.memory
    by_row, by_pair = (make_job(**some).plan.memory for some in ({"only_relations": (1,)}, {"touching": "head"}))
    pairs = BATCH_SIZE * 3
    assert by_row.kept["masks"].on_device == 4 * pairs
    assert by_row.kept["masks"].total == 4 * pairs + 8
    assert by_pair.kept["masks"].on_device == (3 * 4 + 1) * pairs
    assert by_pair.total - without.total == by_pair.kept["masks"].total + by_pair.kept["num_ranked"].total
    some = make_job(candidates=graph.lines[:50].tolist())
    assert some.plan.memory.kept["masks"].total == 4 * pairs + some.prepared.masks.masks[0].train_index.nbytes


def test_candidates_of_another_store_are_refused(make_job: MakeJob, graph: Graph, tmp_path: Path):
    (tmp_path / "some.txt").write_text("\t".join(labels(graph.lines[3])))
    candidates = replace(read_training_triples(tmp_path / "some.txt", graph.store), store_fingerprint="0")
    with pytest.raises(ConfigError, match=r"candidates lists training triples of another store than .*graph.zarr"):
        make_job(candidates=candidates)
