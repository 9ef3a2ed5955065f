"""Exact ranks of listed training triples are those in the sorted list of all saved influences."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from distributed import Client
from rich.console import Console
from small_graph import BATCH_SIZE, NUM_ENTITIES, NUM_ROWS, Graph, MakeJob, labels, save_checkpoint, small_model

from tracin_dask.errors import ConfigError, MemoryLimitError, ResumeError, TriplesError
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.influence.reductions import exact_ranks
from tracin_dask.models.load import load_checkpoint
from tracin_dask.report.rank_table import rank_table
from tracin_dask.report.result import InfluenceResult
from tracin_dask.resources import Resources
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.triples.training_triples import read_training_triples

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 2}
LISTED_LINES = [17, 3, 200, 650, 3]
"""Lines of the training file whose triples are listed; one is listed twice."""


class PowerCutError(Exception):
    """What ends a run in these tests."""


def stop_late(done: int, _total: int) -> None:
    """End the run in its fourth group: three are recorded."""
    if done > 6 * BATCH_SIZE:
        raise PowerCutError


@pytest.fixture(scope="module")
def listed(graph: Graph) -> list[list[int]]:
    return graph.lines[LISTED_LINES].tolist()


def saved_ranks(path: Path, rank_by: str) -> tuple[np.ndarray, np.ndarray]:
    """Sort all saved influences: gives the influence and the rank of each line of the training file [test, line]."""
    saved = zarr.open_group(path, mode="r")
    scores = saved["influence"][:] if "influence" in saved else saved["self_influence"][:][None]
    lines = saved["train_index"][:]
    cost = {"absolute": -np.abs(scores), "proponents": -scores, "opponents": scores}[rank_by]
    influences, ranks = np.empty_like(scores), np.empty(scores.shape, np.int64)
    for test, column in enumerate(cost):
        order = np.lexsort((lines, column))
        ranks[test, lines[order]] = np.arange(1, len(lines) + 1)
        influences[test, lines] = scores[test]
    return influences, ranks


def expected_lines(graph: Graph, listed: list[list[int]]) -> list[int]:
    """Give the lines of every distinct listed triple, in the order of the list."""
    distinct = dict.fromkeys(map(tuple, listed))
    return [line for triple in distinct for line in np.flatnonzero((graph.lines == triple).all(axis=1)).tolist()]


def assert_ranks(result: InfluenceResult, path: Path, lines: list[int], rank_by: str = "absolute") -> None:
    influences, ranks = saved_ranks(path, rank_by)
    found = result.ranks
    assert found.train_index.tolist() == lines
    assert found.rank.tolist() == ranks[:, lines].tolist()
    assert found.influence.astype(np.float32).tobytes() == influences[:, lines].tobytes()
    assert found.num_ranked.tolist() == [NUM_ROWS] * len(ranks)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rank_by": "proponents"},
        {"rank_by": "opponents", "contrast": (5,)},
        {"mode": "self"},
        {"normalize": "cosine"},
        {"explain": "score", "parameters": ("entity_embeddings.*",)},
        {"loss": OneToAll(label_smoothing=0.1)},
        {"loss": SLCWA(num_negatives=2)},
        {"cache_test_gradients": False},
    ],
    ids=["plain", "proponents", "contrast", "self", "cosine", "many zeros", "one-to-all", "slcwa", "not cached"],
)
def test_ranks_are_those_of_the_sorted_saved_influences(make_job, graph, listed, tmp_path: Path, options):
    path = tmp_path / "scores.zarr"
    result = make_job(rank_of=listed, save_scores=path, **options).carry_out(**SMALL_TASKS)
    assert_ranks(result, path, expected_lines(graph, listed), options.get("rank_by", "absolute"))


def test_many_equal_influences_rank_by_their_line(make_job: MakeJob, graph: Graph, tmp_path: Path):
    """With the rows of entities alone, most influences are exactly 0."""
    path = tmp_path / "scores.zarr"
    job = make_job(rank_of=graph.lines.tolist(), save_scores=path, parameters=("entity_embeddings.*",))
    result = job.carry_out(**SMALL_TASKS)
    assert (zarr.open_group(path, mode="r")["influence"][:] == 0).sum() > NUM_ROWS
    assert_ranks(result, path, expected_lines(graph, graph.lines.tolist()))


def test_ranks_count_influences_summed_over_checkpoints(make_job: MakeJob, graph: Graph, listed, tmp_path: Path):
    models = [load_checkpoint(save_checkpoint(tmp_path / f"{seed}.pt", small_model(seed=seed))) for seed in (3, 8)]
    path = tmp_path / "scores.zarr"
    job = make_job(model=models, learning_rate=(0.1, 0.02), rank_of=listed, save_scores=path)
    assert_ranks(job.carry_out(**SMALL_TASKS), path, expected_lines(graph, listed))


def test_parts_of_a_batch_find_their_listed_rows(make_job: MakeJob, graph: Graph, listed, tmp_path: Path):
    path = tmp_path / "scores.zarr"
    job = make_job(rank_of=listed, save_scores=path)
    result = job.carry_out(modes=replace(job.plan.modes, forward=False, long_run=3), **SMALL_TASKS)
    assert_ranks(result, path, expected_lines(graph, listed))


@pytest.mark.parametrize("mode", ["test", "self"])
@pytest.mark.parametrize("cache", [True, False])
def test_workers_and_task_sizes_give_the_same_ranks(make_job: MakeJob, client: Client, listed, mode, cache):
    job = make_job(rank_of=listed, mode=mode, cache_test_gradients=cache)
    whole = job.carry_out().ranks
    for result in (
        job.carry_out(task_rows=3 * BATCH_SIZE, tasks_per_group=2),
        job.carry_out(client, task_rows=BATCH_SIZE, tasks_per_group=9),
    ):
        assert result.ranks.rank.tolist() == whole.rank.tolist()
        assert result.ranks.influence.tobytes() == whole.influence.tobytes()


@pytest.fixture
def cut_off(make_job: MakeJob, listed, tmp_path: Path) -> Path:
    """Give the records of a run that was cut off."""
    execution = Execution(record_directory=tmp_path / "records", progress=stop_late)
    with pytest.raises(PowerCutError):
        make_job(rank_of=listed).carry_out(execution=execution, **SMALL_TASKS)
    return tmp_path / "records"


def test_a_resumed_run_gives_the_same_ranks(make_job: MakeJob, client: Client, listed, cut_off: Path):
    job = make_job(rank_of=listed)
    result = job.carry_out(client, execution=Execution(record_directory=cut_off), task_rows=5 * BATCH_SIZE)
    assert result.run["statistics"]["resumed_rows"] == 6 * BATCH_SIZE
    finished = job.carry_out(execution=Execution(record_directory=cut_off))
    assert finished.run["statistics"]["resumed_rows"] == NUM_ROWS
    expected = job.carry_out().ranks
    for found in (result.ranks, finished.ranks):
        assert found.rank.tolist() == expected.rank.tolist()
        assert found.influence.tobytes() == expected.influence.tobytes()


@pytest.mark.parametrize("change", [{"rank_by": "opponents"}, {"rank_of": [[0, 0, 0]]}, {"rank_of": None}])
def test_records_of_other_ranks_are_refused(make_job: MakeJob, graph: Graph, listed, cut_off: Path, change):
    if change.get("rank_of"):
        change = {"rank_of": graph.lines[:1].tolist()}
    job = make_job(**({"rank_of": listed} | change))
    with pytest.raises(ResumeError, match=r"another run \(rank of: \['absolute', '\w{12}…'\] then, .* now\)"):
        job.carry_out(execution=Execution(record_directory=cut_off))


def test_percentiles_go_from_100_for_the_first_to_0_for_the_last(make_job: MakeJob, graph: Graph):
    result = make_job(rank_of=graph.lines.tolist()).carry_out()
    for test in range(3):
        order = np.argsort(result.ranks.rank[test])
        percentiles = result.ranks.percentile(test)[order]
        assert (percentiles[0], percentiles[-1]) == (100, 0)
        assert np.allclose(percentiles, 100 * np.arange(NUM_ROWS - 1, -1, -1) / (NUM_ROWS - 1))


def test_the_json_lists_ranks_in_the_order_of_the_file(make_job: MakeJob, graph: Graph, listed):
    result = make_job(rank_of=listed).carry_out()
    contents = json.loads(json.dumps(result.to_dict(1)))
    lines = expected_lines(graph, listed)
    assert [entry["train_index"] for entry in contents["ranks"]] == lines
    for place, entry in enumerate(contents["ranks"]):
        assert entry["train_head"] == graph.lines[lines[place], 0]
        assert entry["train_head_label"] == labels(graph.lines[lines[place]])[0]
        assert entry["rank"] == result.ranks.rank[1, place]
        assert entry["percentile"] == result.ranks.percentile(1)[place]
        assert entry["influence"] == result.ranks.influence[1, place]
    top = {entry["train_index"]: rank for rank, entry in enumerate(contents["influences"], start=1)}
    for entry in contents["ranks"]:
        assert top.get(entry["train_index"], entry["rank"]) == entry["rank"]
    assert "ranks" not in make_job().carry_out().to_dict(0)


def test_files_of_training_triples_are_listed_by_label(make_job: MakeJob, graph: Graph, listed, tmp_path: Path):
    lines = ["\t".join(labels(np.array(triple))) for triple in listed]
    (tmp_path / "listed.txt").write_text("\n".join(lines) + "\n")
    read = read_training_triples(tmp_path / "listed.txt", graph.store)
    by_file, by_ids = (make_job(rank_of=given).carry_out().ranks for given in (read, listed))
    by_label = make_job(rank_of=[labels(np.array(triple)) for triple in listed]).carry_out().ranks
    assert by_file.rank.tolist() == by_ids.rank.tolist() == by_label.rank.tolist()
    assert by_file.train_index.tolist() == expected_lines(graph, listed)


def new_triple(graph: Graph) -> tuple[int, int, int]:
    """Find a triple of known entities that is not a training triple."""
    known = set(map(tuple, graph.lines.tolist()))
    return next(t for t in np.ndindex(NUM_ENTITIES, 5, NUM_ENTITIES) if t not in known)


def test_a_listed_triple_that_is_no_training_triple_is_refused(make_job: MakeJob, graph: Graph, listed, tmp_path):
    new = new_triple(graph)
    with pytest.raises(ConfigError, match=r"triple 6 of 6 of rank_of \(.*\) is not a training triple of .*graph.zarr"):
        make_job(rank_of=[*listed, list(new)])
    with pytest.raises(ConfigError, match=r"triple of rank_of 1 of 1 .* the head 99 is not among the 60"):
        make_job(rank_of=[[99, 0, 0]])
    lines = ["\t".join(labels(np.array(triple))) for triple in (listed[0], new)]
    (tmp_path / "listed.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(TriplesError, match=r"listed.txt, line 2: triple that the training set does not have"):
        read_training_triples(tmp_path / "listed.txt", graph.store)
    left = read_training_triples(tmp_path / "listed.txt", graph.store, skip_invalid=True)
    assert left.train_index.tolist() == expected_lines(graph, listed[:1])
    assert left.skipped == {"triple that the training set does not have": 1}
    (tmp_path / "listed.txt").write_text(lines[1])
    with pytest.raises(TriplesError, match=r"listed.txt: no line is a training triple"):
        read_training_triples(tmp_path / "listed.txt", graph.store, skip_invalid=True)


def test_training_triples_of_another_store_are_refused(make_job: MakeJob, graph: Graph, tmp_path: Path):
    (tmp_path / "listed.txt").write_text("\t".join(labels(graph.lines[0])))
    read = replace(read_training_triples(tmp_path / "listed.txt", graph.store), store_fingerprint="0")
    with pytest.raises(ConfigError, match=r"rank_of lists training triples of another store than .*graph.zarr"):
        make_job(rank_of=read)


def test_the_memory_of_ranks_is_planned(make_job: MakeJob, graph: Graph, monkeypatch):
    planned, without = make_job(rank_of=graph.lines.tolist()).plan.memory, make_job().plan.memory
    listed = NUM_ROWS * 3
    compared = exact_ranks.ELEMENT_BYTES * BATCH_SIZE * 3 + exact_ranks.ROW_BYTES * BATCH_SIZE
    assert planned.on_device - without.on_device == exact_ranks.LISTED_BYTES * listed + compared
    assert planned.total - without.total == (exact_ranks.LISTED_BYTES + 3 * 16) * listed + compared
    monkeypatch.setattr(exact_ranks, "LISTED_BYTES", 10**7)
    with pytest.raises(
        MemoryLimitError, match=r"the ranks [\d,]+ .* helps most is fewer training triples in --rank-of"
    ):
        make_job(rank_of=graph.lines.tolist(), resources=Resources(memory_bytes=2 << 30))


def test_the_table_shows_the_first_listed_ranks(make_job: MakeJob, listed):
    result = make_job(rank_of=listed).carry_out()
    console = Console(width=120)
    with console.capture() as capture:
        console.print(rank_table(result.ranks, result.labels, 0, rows=2))
    text = capture.get()
    assert f"Ranks among 700 training triples: the first 2 of {len(result.ranks.train_index)} listed" in text
    assert f"{result.ranks.rank[0, 1]}" in text
    assert "100 is the first" in text
