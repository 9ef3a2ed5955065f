"""All influences of a run are saved, each under its row of the store, and never mixed with those of another run."""

import errno
import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray
import zarr
from distributed import Client
from small_graph import BATCH_SIZE, NUM_ROWS, Graph, MakeJob, Truth, bits
from zarr.storage import LocalStore

from tracin_dask.errors import ClusterError, PlaceError, ScoresError
from tracin_dask.influence.reductions.base import scored_batch
from tracin_dask.places.local import LocalPlace
from tracin_dask.places.registry import place_of
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.runs.sinks import score_writer
from tracin_dask.runs.sinks.saved_scores import Scores
from tracin_dask.runs.sinks.score_writer import ScoresAddress, why_out_of_reach

TOLERANCE = 1e-5
"""Of float32 sums, relative to the product of the gradients' norms."""
SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 2}
STOPPED_AFTER = 6 * BATCH_SIZE
Usage = namedtuple("Usage", "total used free")


class PowerCutError(Exception):
    """What ends a run in these tests."""


def stop_late(done: int, _total: int) -> None:
    """End the run in its fourth group: three are recorded."""
    if done > STOPPED_AFTER:
        raise PowerCutError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "scores.zarr"


@pytest.fixture
def cut_off(make_job: MakeJob, path: Path) -> Path:
    """Give the records of a run that was cut off while it saved scores."""
    directory = path.parent / "records"
    execution = Execution(record_directory=directory, progress=stop_late)
    with pytest.raises(PowerCutError):
        make_job(save_scores=path).carry_out(execution=execution, **SMALL_TASKS)
    assert len(list(directory.glob("*.npz"))) == 3
    return directory


def lines_of(graph: Graph) -> np.ndarray:
    return graph.store.read(0, NUM_ROWS).train_index


def chunks_of(path: Path) -> dict[str, bytes]:
    files = (file for file in (path / "influence" / "c").rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def assert_top_k(result, saved: zarr.Group) -> None:
    """Rank what was saved, and compare with what the run ranked, to the last bit."""
    lines = saved["train_index"][:]
    for test, ranking in enumerate(result.rankings):
        row = (saved["influence"][test] if "influence" in saved else saved["self_influence"][:]).astype(np.float64)
        best = np.lexsort((lines, -np.abs(row)))[: result.top_k]
        np.testing.assert_array_equal(lines[best], ranking.train_index)
        np.testing.assert_array_equal(row[best], ranking.influence)


@pytest.fixture(params=["here", "on two workers"])
def anywhere(request: pytest.FixtureRequest) -> Client | None:
    return None if request.param == "here" else request.getfixturevalue("client")


def test_saved_scores_equal_the_oracle_in_the_order_of_the_store(
    make_job: MakeJob, graph: Graph, truth: Truth, path: Path, anywhere: Client | None
):
    result = make_job(save_scores=path).carry_out(anywhere, **SMALL_TASKS)
    saved = zarr.open_group(path, mode="r")
    lines = lines_of(graph)
    np.testing.assert_array_equal(saved["train_index"][:], lines)
    np.testing.assert_array_equal(saved["test_triples"][:], graph.test_triples)
    influence = saved["influence"]
    assert (influence.shape, influence.dtype) == ((3, NUM_ROWS), np.float32)
    assert (np.abs(influence[:].T - truth.influence[lines]) <= TOLERANCE * truth.scale[lines]).all()
    assert_top_k(result, saved)


def test_workers_save_the_same_bytes_as_this_process(make_job: MakeJob, client: Client, path: Path):
    there = path.with_name("there.zarr")
    here = make_job(save_scores=path).carry_out(task_rows=3 * BATCH_SIZE)
    spread = make_job(save_scores=there).carry_out(client, **SMALL_TASKS)
    assert bits(here) == bits(spread)
    assert chunks_of(path) == chunks_of(there)


def test_self_influences_are_saved_too(make_job: MakeJob, graph: Graph, truth: Truth, path: Path):
    result = make_job(mode="self", save_scores=path).carry_out(**SMALL_TASKS)
    saved = zarr.open_group(path, mode="r")
    assert sorted(saved) == ["self_influence", "train_index"]
    expected = truth.self_influence[lines_of(graph)]
    assert saved["self_influence"].dtype == np.float32
    assert (np.abs(saved["self_influence"][:] - expected) <= TOLERANCE * expected).all()
    assert saved["self_influence"].metadata.dimension_names == ("train",)
    assert_top_k(result, saved)


def test_scores_of_batches_in_parts_are_saved_at_their_rows(make_job: MakeJob, graph: Graph, truth, path: Path):
    job = make_job(save_scores=path)
    modes = replace(job.plan.modes, forward=False, long_run=3)
    job.carry_out(modes=modes, **SMALL_TASKS)
    lines, found = lines_of(graph), zarr.open_group(path, mode="r")["influence"][:]
    assert (np.abs(found.T - truth.influence[lines]) <= TOLERANCE * truth.scale[lines]).all()


def test_saved_scores_state_the_run_metadata(make_job: MakeJob, graph: Graph, path: Path):
    result = make_job(save_scores=path).carry_out()
    attributes = zarr.open_group(path, mode="r").attrs.asdict()
    assert attributes["complete"] is True
    assert attributes["run"] == json.loads(json.dumps(result.run))
    assert attributes["run"]["loss"] == "bce"
    assert attributes["run"]["store"]["fingerprint"] == graph.store.info.fingerprint
    assert attributes["run"]["checkpoints"][0]["learning_rate"] == 0.01
    assert result.run["saved_scores"] == str(path)
    assert sorted(entry.name for entry in path.iterdir()) == ["influence", "test_triples", "train_index", "zarr.json"]


def test_dimensions_of_saved_scores_have_names(make_job: MakeJob, path: Path):
    make_job(save_scores=path, contrast=(5,)).carry_out()
    names = {name: array.metadata.dimension_names for name, array in zarr.open_group(path, mode="r").arrays()}
    assert names == {
        "influence": ("test", "train"),
        "train_index": ("train",),
        "test_triples": ("test", "part"),
        "contrast_tails": ("test",),
    }


def test_xarray_opens_saved_scores(make_job: MakeJob, path: Path):
    result = make_job(save_scores=path).carry_out()
    with xarray.open_zarr(path) as opened:
        assert dict(opened.sizes) == {"test": 3, "train": NUM_ROWS, "part": 3}
        best = opened.influence[1].load()
        assert best.train_index[np.abs(best.to_numpy()).argmax()] == result.rankings[1].train_index[0]
        assert opened.attrs["run"]["loss"] == "bce"


def test_an_interrupted_run_has_saved_its_recorded_rows_and_continues(make_job: MakeJob, cut_off: Path, path: Path):
    saved = zarr.open_group(path, mode="r")
    assert saved.attrs["complete"] is False
    assert np.isfinite(saved["influence"][:, :STOPPED_AFTER]).all()
    before = {name: (path / name).stat().st_mtime_ns for name in chunks_of(path)}
    result = make_job(save_scores=path).carry_out(execution=Execution(record_directory=cut_off))
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    after = {name: (path / name).stat().st_mtime_ns for name in chunks_of(path)}
    finished = {name for name in before if int(name.rsplit("/", 1)[1]) < STOPPED_AFTER // BATCH_SIZE}
    assert len(finished) == STOPPED_AFTER // BATCH_SIZE
    assert {after[name] for name in finished} == {before[name] for name in finished}
    assert zarr.open_group(path, mode="r").attrs["complete"] is True
    undisturbed = path.with_name("undisturbed.zarr")
    make_job(save_scores=undisturbed).carry_out()
    assert chunks_of(path) == chunks_of(undisturbed)


def test_an_interrupted_run_with_saved_scores_continues_on_workers(
    make_job: MakeJob, cut_off: Path, path: Path, client: Client
):
    job = make_job(save_scores=path)
    result = job.carry_out(client, execution=Execution(record_directory=cut_off), **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    assert_top_k(result, zarr.open_group(path, mode="r"))


def test_a_finished_run_whose_result_was_lost_is_not_computed_again(make_job: MakeJob, path: Path, tmp_path: Path):
    job, execution = make_job(save_scores=path), Execution(record_directory=tmp_path / "records")
    first, before = job.carry_out(execution=execution), chunks_of(path)
    again = job.carry_out(execution=execution)
    assert again.run["statistics"]["resumed_rows"] == NUM_ROWS
    assert (bits(again), chunks_of(path)) == (bits(first), before)


def test_a_run_without_records_rewrites_its_unfinished_scores(make_job: MakeJob, path: Path):
    job = make_job(save_scores=path)
    with pytest.raises(PowerCutError):
        job.carry_out(execution=Execution(progress=stop_late), **SMALL_TASKS)
    assert_top_k(job.carry_out(), zarr.open_group(path, mode="r"))


def test_records_of_a_run_count_only_for_the_same_scores_path(make_job: MakeJob, cut_off: Path, path: Path):
    for other, now in (({}, "None"), ({"save_scores": path.with_name("other.zarr")}, ".*other.zarr")):
        with pytest.raises(RuntimeError, match=rf"\(save scores: .*/scores\.zarr then, {now} now\)"):
            make_job(**other).carry_out(execution=Execution(record_directory=cut_off))
    assert not path.with_name("other.zarr").exists()


def test_restart_rewrites_saved_scores(make_job: MakeJob, cut_off: Path, path: Path):
    execution = Execution(record_directory=cut_off, restart=True)
    for top_k in (7, 7):  # of another run that was cut off, and of this one, complete
        result = make_job(save_scores=path, top_k=top_k).carry_out(execution=execution)
        assert result.run["statistics"]["resumed_rows"] == 0
    assert_top_k(result, zarr.open_group(path, mode="r"))


def test_missing_rows_of_saved_scores_are_detected(make_job: MakeJob, cut_off: Path, path: Path):
    shutil.rmtree(path)
    with pytest.raises(
        ScoresError, match=r"scores\.zarr: missing, but an interrupted run recorded .* put it back, or pass --rest"
    ):
        make_job(save_scores=path).carry_out(execution=Execution(record_directory=cut_off))


def test_a_missing_chunk_of_saved_scores_is_detected(make_job: MakeJob, cut_off: Path, path: Path):
    (path / min(chunks_of(path))).unlink()
    with pytest.raises(ScoresError, match="1 of 11 chunks of influence are missing"):
        make_job(save_scores=path).carry_out(execution=Execution(record_directory=cut_off))
    assert zarr.open_group(path, mode="r").attrs["complete"] is False


@pytest.mark.usefixtures("cut_off")
def test_saved_scores_of_another_run_are_refused_and_kept(make_job: MakeJob, path: Path):
    before = chunks_of(path)
    with pytest.raises(ScoresError, match=r"exists already, with a part of the scores of another run .*--restart"):
        make_job(save_scores=path, learning_rate=0.5).carry_out()
    assert chunks_of(path) == before


def test_complete_scores_are_never_overwritten_by_another_run(make_job: MakeJob, path: Path):
    make_job(save_scores=path).carry_out()
    before = chunks_of(path)
    for execution in (Execution(), Execution(restart=True)):
        with pytest.raises(ScoresError, match=r"with the scores of another run .*; choose another path, or delete it$"):
            make_job(save_scores=path, learning_rate=0.5).carry_out(execution=execution)
    with pytest.raises(ScoresError, match="with all scores of this run; use them, or pass --restart"):
        make_job(save_scores=path).carry_out()
    assert chunks_of(path) == before


@pytest.mark.parametrize("restart", [False, True])
def test_a_path_without_saved_scores_is_never_overwritten(make_job: MakeJob, graph: Graph, tmp_path: Path, restart):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("precious")
    folder.mkdir()
    for other in (file, folder, Path(graph.store.path)):
        with pytest.raises(ScoresError, match=f"{other}: exists already, but holds no scores"):
            make_job(save_scores=other).carry_out(execution=Execution(restart=restart))
    assert file.read_text() == "precious"
    assert len(graph.store.read(0, 3)) == 3


def test_too_little_disk_space_for_scores_is_refused_with_both_numbers(make_job: MakeJob, path: Path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10_000, 1_601, 8_399))
    with pytest.raises(
        ScoresError, match=r"the scores take up to 8,400 more bytes, but only 8,399 bytes are free; make room"
    ):
        make_job(save_scores=path).carry_out()
    assert not path.parent.exists()


def test_a_resumed_run_needs_disk_space_for_remaining_scores_only(
    make_job: MakeJob, cut_off: Path, path: Path, monkeypatch
):
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(10_000, 5_000, 5_000))
    result = make_job(save_scores=path).carry_out(execution=Execution(record_directory=cut_off))
    assert result.run["statistics"]["resumed_rows"] > 0
    assert result.run["saved_scores"] == str(path)


def test_a_full_disk_leaves_saved_scores_marked_incomplete(make_job: MakeJob, path: Path, monkeypatch):
    put, calls = LocalStore.set, []

    async def full(self, key, value, *rest):
        if key.startswith("influence/c/"):
            calls.append(key)
            if len(calls) > 7:
                raise OSError(errno.ENOSPC, "No space left on device")
        await put(self, key, value, *rest)

    execution = Execution(record_directory=path.parent / "records")
    job = make_job(save_scores=path)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        with pytest.raises(
            ScoresError,
            match="scores are not complete: the disk is full, or has no room for another file; make room and start the",
        ):
            job.carry_out(execution=execution, **SMALL_TASKS)
    assert zarr.open_group(path, mode="r").attrs["complete"] is False
    result = job.carry_out(execution=execution, **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == STOPPED_AFTER
    assert_top_k(result, zarr.open_group(path, mode="r"))


def test_rows_are_not_recorded_before_the_disk_has_their_scores(make_job: MakeJob, path: Path, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(LocalPlace, "sync", fail)
    directory = path.parent / "records"
    with pytest.raises(
        ScoresError, match="the scores cannot be written: the disk reports an error; choose another place"
    ):
        make_job(save_scores=path).carry_out(execution=Execution(record_directory=directory))
    assert not list(directory.glob("*.npz"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_a_scores_path_that_cannot_be_written_is_refused(make_job: MakeJob):
    with pytest.raises(ScoresError, match=r"/proc/scores\.zarr: the scores cannot be written: .* choose another place"):
        make_job(save_scores=Path("/proc/scores.zarr")).carry_out()


def test_scores_at_an_unknown_kind_of_url_are_refused():
    with pytest.raises(PlaceError, match=r"ftp://bucket/scores\.zarr: no place is known for ftp://; expected a path"):
        RunConfig.of(save_scores="ftp://bucket/scores.zarr")


def test_workers_that_do_not_see_the_scores_path_are_named(make_job: MakeJob, client: Client, path: Path, monkeypatch):
    monkeypatch.setattr(score_writer, "_why_not_saved", lambda place: f"cannot save scores: {place.path}: far away")
    with pytest.raises(ClusterError, match=r"worker tcp://.* cannot save scores: .*scores\.zarr: far away"):
        make_job(save_scores=path).carry_out(client)


def test_a_worker_that_cannot_write_scores_states_the_reason(make_job: MakeJob, path: Path, monkeypatch):
    here = ScoresAddress(path=place_of(path), identity="0" * 64)
    assert "does not see the scores; choose a place for --save-scores that all workers" in why_out_of_reach(here)
    make_job(save_scores=path).carry_out()
    assert "a worker sees the scores of another run;" in why_out_of_reach(here)
    right = replace(here, identity=zarr.open_group(path, mode="r").attrs["identity"])
    assert why_out_of_reach(right) is None

    def fail(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    assert "the scores cannot be written: no permission; choose another place" in why_out_of_reach(right)


@pytest.mark.parametrize(
    ("num_tests", "batch_size", "chunks"),
    [(None, 8192, (8192,)), (1, 8192, (1, 8192)), (500, 8192, (128, 8192)), (2, 5_000_000, (1, 5_000_000))],
)
def test_chunks_of_saved_scores_are_whole_batches_of_some_test_triples(
    graph: Graph, path: Path, num_tests, batch_size, chunks
):
    tests = None if num_tests is None else np.zeros((num_tests, 3), np.int64)
    what = Scores(path=place_of(path), store=graph.store, test_triples=tests, contrast_tails=None)
    assert what.chunks(batch_size) == chunks


def test_plan_counts_the_memory_for_writing_scores(make_job: MakeJob, path: Path):
    with_scores, without = make_job(save_scores=path).plan.memory, make_job().plan.memory
    assert (
        with_scores.kept[score_writer.NAME].total
        == with_scores.total - without.total
        == score_writer.COPIES * 4 * BATCH_SIZE * 3
    )
    assert not path.exists()


def test_a_repeated_task_writes_the_same_scores(make_job: MakeJob, graph: Graph, path: Path):
    job = make_job(save_scores=path)
    job.carry_out()
    before = chunks_of(path)
    place = ScoresAddress(path=place_of(path), identity=zarr.open_group(path, mode="r").attrs["identity"])
    writer = score_writer.ScoreWriter(place, 3)
    saved = torch.from_numpy(zarr.open_group(path, mode="r")["influence"][:].T.copy())
    block = graph.store.read(0, NUM_ROWS)
    for start, stop in ((2 * BATCH_SIZE - 5, 2 * BATCH_SIZE), (BATCH_SIZE, 2 * BATCH_SIZE - 5)):
        rows = np.arange(start, stop)
        some = {"triples": block.triples[rows], "train_index": block.train_index[rows], "rows": rows}
        writer.add(scored_batch(saved[start:stop], **some))
    writer.finish()
    assert chunks_of(path) == before
