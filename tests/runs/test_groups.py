"""Totals of groups are the sums of all influences of a run, to the last bit alike however it is carried out."""

import json
import math
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import zarr
from dask.sizeof import sizeof
from distributed import Client
from small_graph import (
    BATCH_SIZE,
    NUM_ENTITIES,
    NUM_RELATIONS,
    NUM_ROWS,
    Graph,
    MakeJob,
    Truth,
    labels,
    save_checkpoint,
    small_model,
)

from tracin_dask.errors import ClusterError, ConfigError, NonFiniteError, ResumeError
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.influence.reductions import group_totals
from tracin_dask.models.load import load_checkpoint
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute import on_worker
from tracin_dask.runs.execute.driver import Execution, _job
from tracin_dask.runs.plan import memory
from tracin_dask.runs.work.score import prepare_test, score_rows
from tracin_dask.runs.work.state import WorkerState
from tracin_dask.triples.group_ingest import GroupOptions, ingest_groups
from tracin_dask.triples.groups import GroupStore

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 2}
ROUNDED_AWAY, ROUNDED_SUM = 2.0**-81, 2.0**-52
TOLERANCE = 1e-5
"""Of float32 influences, relative to the product of the gradients' norms."""
SOURCES = ["text mining", "curated", "nobody"]


class PowerCutError(Exception):
    """What ends a run in these tests."""


def stop_late(done: int, _total: int) -> None:
    """End the run in its fourth group: three are recorded."""
    if done > 6 * BATCH_SIZE:
        raise PowerCutError


@pytest.fixture(scope="module")
def source_of_line(graph: Graph) -> np.ndarray:
    """Give each line of the training file one of two sources; lines of one triple have one."""
    return (graph.lines[:, 0] + graph.lines[:, 2]) % 3 // 2


@pytest.fixture(scope="module")
def sources(graph: Graph, source_of_line, tmp_path_factory: pytest.TempPathFactory) -> GroupStore:
    """Write the lines in another order than the training file, and a group whose only line is of no training triple."""
    folder = tmp_path_factory.mktemp("sources")
    order = np.random.default_rng(2).permutation(NUM_ROWS)
    lines = ["\t".join([*labels(graph.lines[line]), SOURCES[source_of_line[line]]]) for line in order]
    known = set(map(tuple, graph.lines.tolist()))
    new = next(triple for triple in np.ndindex(NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES) if triple not in known)
    lines.insert(70, "\t".join([*labels(np.array(new)), "nobody"]))
    (folder / "sources.tsv").write_text("\n".join(lines) + "\n")
    options = GroupOptions(skip_invalid=True)
    return ingest_groups(folder / "sources.tsv", graph.store, folder / "sources.zarr", options=options)


@pytest.fixture
def every_grouping(sources: GroupStore) -> dict[str, object]:
    return {"group_by": ("relation", "head", "tail", sources)}


def bits(result: InfluenceResult) -> list[bytes]:
    names = ("groups", "num_triples", "positive", "negative", "net")
    return [getattr(found, name).tobytes() for found in result.groups for name in names]


@pytest.fixture(scope="module")
def lines_groups(graph: Graph, source_of_line: np.ndarray) -> list[np.ndarray]:
    """Give the groups of each line of the training file, by every grouping."""
    return [graph.lines[:, 1], graph.lines[:, 0], graph.lines[:, 2], source_of_line]


def assert_sums(result: InfluenceResult, by_line: np.ndarray, groups: list[np.ndarray], sources: GroupStore) -> None:
    """Compare with sums of the influences [line, test] that round once; the file numbers its sources as it likes."""
    assert len(result.groups) == len(groups)
    for found, given in zip(result.groups, groups, strict=True):
        is_of_file = found.group_by == "sources.tsv"
        numbers = sources.labels.ids([SOURCES[number] for number in given]) if is_of_file else given
        assert found.groups.tolist() == np.unique(numbers).tolist()
        for place, group in enumerate(found.groups):
            mine = by_line[numbers == group]
            assert found.num_triples[place] == len(mine)
            for test, column in enumerate(mine.T):
                parts = {"positive": column[column > 0], "negative": column[column < 0], "net": column}
                for name, part in parts.items():
                    total, exact = getattr(found, name)[test, place], math.fsum(part)
                    assert abs(total - exact) <= len(part) * ROUNDED_AWAY + ROUNDED_SUM * abs(exact)


def saved_by_line(path: Path) -> np.ndarray:
    """Read all influences [line, test], in the order of the training file."""
    saved = zarr.open_group(path, mode="r")
    scores = saved["influence"][:].T if "influence" in saved else saved["self_influence"][:][:, None]
    return scores.astype(np.float64)[np.argsort(saved["train_index"][:])]


@pytest.fixture(
    params=[
        {},
        {"mode": "self"},
        {"normalize": "cosine"},
        {"contrast": (5,), "parameters": ("fc.*", "*_embeddings.*")},
        {"loss": OneToAll(label_smoothing=0.1)},
        {"loss": SLCWA(num_negatives=2)},
        {"explain": "score", "learning_rate": 1e-9},
    ],
    ids=["plain", "self", "cosine", "contrast", "one-to-all", "slcwa", "score"],
)
def options(request: pytest.FixtureRequest) -> dict[str, object]:
    return request.param


def test_group_totals_are_the_sums_of_all_influences(make_job: MakeJob, sources, lines_groups, options, tmp_path: Path):
    group_by = ("relation", "head", "tail", sources)
    job = make_job(save_scores=tmp_path / "scores.zarr", group_by=group_by, **options)
    result = job.carry_out(**SMALL_TASKS)
    assert_sums(result, saved_by_line(tmp_path / "scores.zarr"), lines_groups, sources)
    if "mode" in options:
        assert all((found.negative == 0).all() for found in result.groups)


def test_group_totals_equal_those_of_the_oracle(make_job: MakeJob, truth: Truth, lines_groups):
    result = make_job(group_by=("relation", "head", "tail")).carry_out(**SMALL_TASKS)
    for found, numbers in zip(result.groups, lines_groups[:3], strict=True):
        for place, group in enumerate(found.groups):
            mine = numbers == group
            for test in range(3):
                total = found.net[test, place]
                allowed = TOLERANCE * truth.scale[mine, test].sum()
                assert abs(total - truth.influence[mine, test].sum()) <= allowed


def test_group_totals_are_summed_over_checkpoints(
    make_job: MakeJob, graph: Graph, tmp_path: Path, sources, source_of_line
):
    models = [load_checkpoint(save_checkpoint(tmp_path / f"{seed}.pt", small_model(seed=seed))) for seed in (3, 8)]
    scores = tmp_path / "scores.zarr"
    job = make_job(model=models, learning_rate=(0.1, 0.02), group_by=("relation", sources), save_scores=scores)
    result = job.carry_out(**SMALL_TASKS)
    assert_sums(result, saved_by_line(scores), [graph.lines[:, 1], source_of_line], sources)


def test_batches_scored_in_parts_add_to_the_right_groups(
    make_job: MakeJob, graph: Graph, sources, source_of_line, tmp_path: Path
):
    scores = tmp_path / "scores.zarr"
    job = make_job(group_by=("tail", sources), save_scores=scores)
    result = job.carry_out(modes=replace(job.plan.modes, forward=False, long_run=3), **SMALL_TASKS)
    assert_sums(result, saved_by_line(scores), [graph.lines[:, 2], source_of_line], sources)


@pytest.mark.parametrize("mode", ["test", "self"])
def test_workers_and_task_sizes_change_no_bit_of_group_totals(make_job: MakeJob, client: Client, every_grouping, mode):
    job = make_job(mode=mode, **every_grouping)
    whole = bits(job.carry_out())
    assert bits(job.carry_out(task_rows=BATCH_SIZE)) == whole
    assert bits(job.carry_out(task_rows=3 * BATCH_SIZE, tasks_per_group=2)) == whole
    assert bits(job.carry_out(client, task_rows=BATCH_SIZE, tasks_per_group=9)) == whole


@pytest.fixture
def cut_off(make_job: MakeJob, every_grouping, tmp_path: Path) -> Path:
    """Give the records of a run that was cut off."""
    directory = tmp_path / "records"
    execution = Execution(record_directory=directory, progress=stop_late)
    with pytest.raises(PowerCutError):
        make_job(**every_grouping).carry_out(execution=execution, **SMALL_TASKS)
    assert len(list(directory.glob("*.npz"))) == 3
    return directory


def test_a_resumed_run_gives_the_same_group_totals(make_job: MakeJob, client: Client, every_grouping, cut_off: Path):
    job = make_job(**every_grouping)
    result = job.carry_out(client, execution=Execution(record_directory=cut_off), task_rows=5 * BATCH_SIZE)
    assert result.run["statistics"]["resumed_rows"] == 6 * BATCH_SIZE
    assert bits(result) == bits(job.carry_out())
    finished = job.carry_out(execution=Execution(record_directory=cut_off))
    assert finished.run["statistics"]["resumed_rows"] == NUM_ROWS
    assert bits(finished) == bits(result)


def test_records_of_other_groups_are_refused(make_job: MakeJob, graph: Graph, cut_off: Path, sources, tmp_path: Path):
    lines = ["\t".join([*labels(line), "all"]) for line in graph.lines]
    (tmp_path / "sources.tsv").write_text("\n".join(lines) + "\n")
    other = ingest_groups(tmp_path / "sources.tsv", graph.store, tmp_path / "other.zarr")
    for group_by in ((), ("relation",), ("head", "relation", "tail", sources), ("relation", "head", "tail", other)):
        with pytest.raises(ResumeError, match=r"another run \(group by: \['relation', .*\] then, (\[.*\]|None) now\)"):
            make_job(group_by=group_by).carry_out(execution=Execution(record_directory=cut_off))


def test_a_run_resumes_with_equal_groups_at_another_path(make_job: MakeJob, cut_off: Path, sources, graph, tmp_path):
    options = GroupOptions(skip_invalid=True)
    path = Path(sources.path).with_name("sources.tsv")
    again = ingest_groups(path, graph.store, tmp_path / "again.zarr", options=options)
    job = make_job(group_by=("relation", "head", "tail", again))
    result = job.carry_out(execution=Execution(record_directory=cut_off))
    assert result.run["statistics"]["resumed_rows"] == 6 * BATCH_SIZE


def test_saved_scores_do_not_depend_on_groups(make_job: MakeJob, tmp_path: Path):
    make_job(save_scores=tmp_path / "s.zarr").carry_out()
    job = make_job(save_scores=tmp_path / "s.zarr", group_by=("relation",))
    assert len(job.carry_out(execution=Execution(restart=True)).groups[0].groups) == 5


def test_the_result_lists_the_largest_groups_and_says_how_they_were_made(make_job: MakeJob, sources, graph: Graph):
    result = make_job(group_by=("relation", sources)).carry_out()
    contents = json.loads(json.dumps(result.to_dict(1)))
    relations, by_source = contents["group_totals"]
    assert (relations["group_by"], relations["num_groups"]) == ("relation", 5)
    nets = [abs(group["net_influence"]) for group in relations["groups"]]
    assert nets == sorted(nets, reverse=True)
    assert sum(group["num_training_triples"] for group in relations["groups"]) == NUM_ROWS
    for group in relations["groups"]:
        assert group["group_label"] == graph.store.relations.label(group["group"])
        both = group["positive_influence"] + group["negative_influence"]
        assert group["net_influence"] == pytest.approx(both, rel=1e-9, abs=1e-15)
        assert "group_name" not in group
    assert (by_source["group_by"], by_source["num_groups"]) == ("sources.tsv", 2)
    assert {group["group_label"] for group in by_source["groups"]} == {"text mining", "curated"}
    skipped = {"triple that the training set does not have": 1}
    about = {"group_by": "sources.tsv", "sha256": sources.info.source.sha256, "skipped_lines": skipped}
    assert len(sources) == 3
    assert result.run["groupings"] == [{"group_by": "relation"}, about]


@pytest.mark.parametrize(
    ("rank_by", "column"), [("proponents", "positive_influence"), ("opponents", "negative_influence")]
)
def test_rank_by_one_side_orders_groups_by_the_totals_of_that_side(make_job: MakeJob, rank_by, column):
    result = make_job(group_by=("head",), rank_by=rank_by).carry_out()
    values = [abs(group[column]) for group in result.to_dict(0)["group_totals"][0]["groups"]]
    assert values == sorted(values, reverse=True)
    assert len(values) > 10


def test_a_result_without_groups_does_not_mention_them(make_job: MakeJob):
    result = make_job().carry_out()
    assert result.groups == ()
    assert "group_totals" not in result.to_dict(0)
    assert "groupings" not in result.run


def test_groups_of_another_store_are_refused(make_job: MakeJob, sources):
    other = replace(sources, info=replace(sources.info, store_fingerprint="0"))
    with pytest.raises(ConfigError, match=r"sources.zarr has the groups of another store than .*graph.zarr"):
        make_job(group_by=(other,))


def test_invalid_groupings_are_refused(sources, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    with pytest.raises(
        ConfigError, match="group_by takes head, relation, tail and what ingest_groups gives, not 'tale'"
    ):
        RunConfig.of(group_by=("tale",))
    with pytest.raises(ConfigError, match=r"group_by is a tuple, of one grouping, too: \('head',\)"):
        RunConfig.of(group_by="head")
    for twice in (("head", "tail", "head"), (sources, sources)):
        with pytest.raises(ConfigError, match="group_by names the same groups twice"):
            RunConfig.of(group_by=twice)
    other = replace(sources, info=replace(sources.info, fingerprint="other"))
    with pytest.raises(ConfigError, match=r"groupings of one name \(sources.tsv, sources.tsv\), .* rename a file"):
        RunConfig.of(group_by=(sources, other))


def test_workers_that_do_not_see_the_groups_are_named(make_job: MakeJob, client: Client, sources, monkeypatch):
    monkeypatch.setattr(
        on_worker, "missing", lambda paths: {path: "" for path in paths if path.endswith("sources.zarr")}
    )
    with pytest.raises(ClusterError, match=r"worker tcp://.* does not see the groups .*sources.zarr; put it on a file"):
        make_job(group_by=(sources,)).carry_out(client)


def test_dask_knows_the_bytes_of_group_totals(make_job: MakeJob):
    sizes = []
    for group_by in ((), ("head", "relation")):
        planned = make_job(group_by=group_by)
        job, state = _job(planned.prepared, planned.plan, planned.prepared.reductions()), WorkerState()
        scored = score_rows(state, job, prepare_test(state, job, planned.prepared.targets), (0, BATCH_SIZE))
        sizes.append(sizeof(scored))
    totals = scored.kept[group_totals.NAME]
    assert [len(by) for by in totals] == [5, 5]
    assert sizes[1] - sizes[0] == sum(by.num_bytes for by in totals) == 10 * 8 * (2 + 6 * 3)


def test_influences_that_are_too_large_to_be_added_stop_the_run(make_job: MakeJob):
    with pytest.raises(NonFiniteError, match=r"beyond 6.87e\+10, up to which groups .* are added up exactly"):
        make_job(group_by=("relation",), learning_rate=1e15).carry_out()


def test_the_memory_of_groups_is_planned(make_job: MakeJob):
    with_groups, without = make_job(group_by=("relation", "head")).plan.memory, make_job().plan.memory
    sums, totals = group_totals.sums_bytes(5 + 60, 3), group_totals.totals_bytes(5 + 60, 3)
    assert with_groups.kept[group_totals.NAME].total == sums + (1 + memory.OUTCOMES_BESIDE) * totals
    assert with_groups.total - without.total == sums + 3 * totals
    cut = (group_totals.ELEMENT_BYTES + 8) * BATCH_SIZE * 3
    assert with_groups.on_device - without.on_device == sums + cut
