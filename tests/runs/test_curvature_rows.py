"""Influences divided by the curvature of embedding rows equal those through dense inverses, in every kind of run."""

from copy import deepcopy
from dataclasses import replace

import dense_curvature
import numpy as np
import oracle
import pytest
import torch
import zarr
from distributed import Client
from influence.any_model import gradients as any_gradients
from influence.any_model import own_bce
from small_graph import (
    BATCH_SIZE,
    LEARNING_RATE,
    NUM_ENTITIES,
    NUM_RELATIONS,
    NUM_ROWS,
    Graph,
    MakeJob,
    bits,
    save_checkpoint,
    small_model,
)
from test_any_model import write

import tracin_dask
from tracin_dask.errors import ConfigError, MemoryLimitError
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.influence.preconditioners import rows as rows_method
from tracin_dask.models.conve.dialects import file_state, find_dialect
from tracin_dask.models.load import load_checkpoint
from tracin_dask.resources import Resources
from tracin_dask.runs.execute.driver import Execution
from tracin_dask.runs.work.rows import fit
from tracin_dask.triples import neighbourhood

ENTITIES, RELATIONS = "entity_embeddings.weight", "relation_embeddings.weight"
BIAS = "entity_bias"
COUNTS = {ENTITIES: NUM_ENTITIES, RELATIONS: NUM_RELATIONS, BIAS: NUM_ENTITIES}
FLOAT64 = {"precision": "float64", "curvature": "rows", "audit": 4}
SMOOTHED = OneToAll(label_smoothing=0.1)


class Hinge:
    """A loss of one's own of the triple's own score."""

    name = "hinge"
    identity = "hinge"

    def value(self, scores):
        return torch.nn.functional.softplus(2 - scores)


LOSSES = {
    "bce": ({}, oracle.bce),
    "own": ({"loss": Hinge()}, oracle.of_own_score(Hinge().value)),
    "slcwa": ({"loss": SLCWA(num_negatives=3)}, oracle.of_negatives(SLCWA(num_negatives=3))),
    "one-to-all": ({"loss": SMOOTHED}, oracle.of_all_scores(SMOOTHED.value)),
}


@pytest.fixture(scope="module")
def models(graph: Graph):
    """Two checkpoints in float64, the second one with other weights."""
    found = []
    for seed in (3, 4):
        path = save_checkpoint(graph.folder / f"curved_{seed}.pt", small_model(seed))
        found.append(load_checkpoint(path, dtype=torch.float64))
    return found


def differentiate(checkpoint, triples, loss=oracle.bce, key=None):
    """Give the gradients of some triples' losses; the key tells losses that are made anew for each test."""
    model = deepcopy(checkpoint.model)
    known = checkpoint.sha256, key or loss
    return dense_curvature.of_each(lambda triple: oracle.gradients(model, triple, loss), triples, known)


def truth(
    checkpoints,
    graph: Graph,
    loss=oracle.bce,
    *,
    tables=(ENTITIES,),
    damping=rows_method.DAMPING,
    test_loss=None,
    tests=None,
):
    """Sum influences over checkpoints, each through its own inverses; errors are relative to what comes second."""
    total, scale, rows = 0.0, 0.0, {name: COUNTS[name] for name in tables}
    for checkpoint in checkpoints:
        train = dense_curvature.table_gradients(differentiate(checkpoint, graph.lines, loss), rows)
        asked = graph.test_triples if tests is None else tests
        test = dense_curvature.table_gradients(differentiate(checkpoint, asked, test_loss or loss), rows)
        found = dense_curvature.influences(train, test, dense_curvature.inverses(train, damping))
        total, scale = total + LEARNING_RATE * found[0], scale + LEARNING_RATE * found[1]
    return total, scale


def assert_equal(result, expected, tolerance=1e-9):
    influence, scale = expected
    for index, ranking in enumerate(result.rankings):
        assert len(ranking)
        error = np.abs(ranking.influence - influence[ranking.train_index, index])
        assert (error <= tolerance * scale[ranking.train_index, index]).all()
        others = np.delete(np.abs(influence[:, index]), ranking.train_index)
        assert others.size == 0 or others.max() <= np.abs(ranking.influence).min() + tolerance * scale[:, index].max()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("parameters", [(), (RELATIONS,), (ENTITIES, RELATIONS)])
def test_influences_equal_dense_inverses_under_every_loss(make_job: MakeJob, graph, models, name, parameters):
    options, loss = LOSSES[name]
    expected = truth(models[:1], graph, loss, tables=parameters or (ENTITIES,))
    result = make_job(model=models[0], **FLOAT64, **options, parameters=parameters).carry_out()
    assert_equal(result, expected)
    assert result.run["curvature"] == "rows"
    assert result.run["damping"] == rows_method.DAMPING


@pytest.fixture(scope="module")
def biased(tmp_path_factory: pytest.TempPathFactory):
    """A model in which entities have biases, in the number types of its runs."""
    model = small_model(5, stacking="height", embedding_height=6, embedding_width=4, has_entity_bias=True)
    path = tmp_path_factory.mktemp("biased") / "model.pt"
    state = file_state(model.state_dict(), find_dialect("pykeen"))
    torch.save({"model_state_dict": state, "learning_rate": LEARNING_RATE}, path)
    size = {"embedding_height": 6, "embedding_width": 4}
    return {name: load_checkpoint(path, dtype=getattr(torch, name), **size) for name in ("float32", "float64")}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("tables", [(ENTITIES, BIAS), pytest.param((BIAS,), marks=pytest.mark.slow)])
def test_biases_of_entities_have_a_curvature_of_their_own(make_job: MakeJob, graph, biased, name, tables):
    options, loss = LOSSES[name]
    plain, scale = truth([biased["float64"]], graph, loss, tables=tables)
    lengths = truth([biased["float64"]], graph, loss, tables=tables, tests=graph.lines)[0].diagonal()
    by = {"none": 1, "relatif": 1 / np.sqrt(lengths)[:, None]}
    for precision, tolerance in (("float64", 1e-8), ("float32", 1e-4)):
        asked = options | {"model": biased[precision], "curvature": "rows", "precision": precision, "audit": 4}
        for normalize, factor in by.items():
            result = make_job(**asked, parameters=tables, normalize=normalize).carry_out()
            assert_equal(result, (plain * factor, scale * factor), tolerance=tolerance)


@pytest.mark.parametrize("name", ["bce", "one-to-all"])
def test_a_row_of_a_single_number_has_a_curvature(make_job: MakeJob, graph, tmp_path, name):
    one = {f"{of}_{side}": 1 for of in ("embedding", "kernel") for side in ("height", "width")}
    path = save_checkpoint(tmp_path / "narrow.pt", small_model(5, embedding_dim=1, **one))
    options, loss = LOSSES[name]
    plain, scale = truth([load_checkpoint(path, dtype=torch.float64)], graph, loss)
    lengths = truth([load_checkpoint(path, dtype=torch.float64)], graph, loss, tests=graph.lines)[0].diagonal()
    by = {"none": 1, "relatif": 1 / np.sqrt(lengths)[:, None]}
    for normalize, factor in by.items():
        asked = options | {"model": load_checkpoint(path), "curvature": "rows", "normalize": normalize, "audit": 4}
        assert_equal(make_job(**asked).carry_out(), (plain * factor, scale * factor), tolerance=1e-4)


@pytest.mark.parametrize("damping", [0.1, 10.0])
@pytest.mark.parametrize("name", ["bce", "one-to-all"])
def test_damping_is_in_units_of_the_mean_part_of_the_trace(make_job: MakeJob, graph, models, name, damping):
    options, loss = LOSSES[name]
    result = make_job(model=models[0], **FLOAT64, **options, damping=damping).carry_out()
    assert_equal(result, truth(models[:1], graph, loss, damping=damping))


@pytest.mark.parametrize("name", LOSSES)
def test_every_checkpoint_has_its_own_curvature(make_job: MakeJob, graph, models, name):
    options, loss = LOSSES[name]
    result = make_job(model=models, **FLOAT64, **options).carry_out()
    assert_equal(result, truth(models, graph, loss))


@pytest.mark.parametrize("name", LOSSES)
def test_contrasts_and_scores_are_divided_by_the_curvature_of_the_loss(make_job: MakeJob, graph, models, name):
    options, loss = LOSSES[name]
    tests, other = graph.test_triples, 7
    asked = np.column_stack([tests, np.full(len(tests), other)])
    expected = truth(models[:1], graph, loss, test_loss=oracle.of_contrast(loss), tests=asked)
    result = make_job(model=models[0], **FLOAT64, **options, contrast=(other,)).carry_out()
    assert_equal(result, expected)

    def negated(model, triple):
        return -oracle.scores(model, triple[None])[0]

    expected = truth(models[:1], graph, loss, test_loss=negated)
    assert_equal(make_job(model=models[0], **FLOAT64, **options, explain="score").carry_out(), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_self_influence_and_cosine_are_in_the_norm_of_the_inverse(make_job: MakeJob, graph, models, name):
    options, loss = LOSSES[name]
    lengths = truth(models[:1], graph, loss, tests=graph.lines)[0].diagonal()
    result = make_job(model=models[0], **FLOAT64, **options, mode="self", top_k=NUM_ROWS).carry_out()
    (ranking,) = result.rankings
    np.testing.assert_allclose(ranking.influence, lengths[ranking.train_index], rtol=1e-9)
    plain, scale = truth(models[:1], graph, loss)
    result = make_job(model=models[0], **FLOAT64, **options, normalize="relatif").carry_out()
    assert_equal(result, (plain / np.sqrt(lengths)[:, None], scale / np.sqrt(lengths)[:, None]), tolerance=1e-8)


def test_float32_is_near_the_dense_inverse(make_job: MakeJob, graph, checkpoint, models):
    result = make_job(model=checkpoint, curvature="rows", audit=4).carry_out()
    assert_equal(result, truth(models[:1], graph), tolerance=1e-4)


def test_lists_leave_out_triples_without_influence(make_job: MakeJob, graph, models):
    influence, _ = truth(models[:1], graph)
    result = make_job(model=models[0], **FLOAT64, top_k=NUM_ROWS).carry_out()
    for index, ranking in enumerate(result.rankings):
        test = graph.test_triples[index]
        touches = np.isin(graph.lines[:, [0, 2]], test[[0, 2]]).any(axis=1)
        assert set(ranking.train_index) == set(np.flatnonzero(touches & (influence[:, index] != 0)))


@pytest.mark.parametrize("options", [{"preset": "retraining"}, {"parameters": (ENTITIES,)}])
def test_a_test_triple_whose_entities_are_in_no_training_triple_has_an_empty_list(graph, checkpoint, tmp_path, options):
    lines = (graph.folder / "train.txt").read_text().splitlines(keepends=True)[:5]
    (tmp_path / "few.txt").write_text("".join(lines))
    maps = {f"{kind}_to_id": graph.folder / f"{kind}_to_id.tsv" for kind in ("entity", "relation")}
    store = tracin_dask.ingest(tmp_path / "few.txt", tmp_path / "few.zarr", **maps)
    new = np.setdiff1d(np.arange(NUM_ENTITIES), graph.lines[:5, [0, 2]]).tolist()
    config = tracin_dask.RunConfig.of(**options, group_by=("relation",), audit=2)
    result = tracin_dask.run(store, checkpoint, [(new[0], 0, new[1])], config=config)
    assert [len(ranking) for ranking in result.rankings] == [0]
    assert (result.groups[0].net == 0).all()


@pytest.mark.parametrize("options", [{}, {"curvature": "rows"}, {"curvature": "rows", "normalize": "cosine"}])
def test_rows_found_by_the_index_and_by_reading_all_give_the_same_bits(make_job: MakeJob, monkeypatch, options):
    options = {"parameters": (ENTITIES,), "group_by": ("relation",)} | options
    by_index = make_job(**options).carry_out()
    few = make_job(**options)
    assert few.prepared.neighbourhood.rows is not None
    monkeypatch.setattr(neighbourhood, "FEW_ROWS", 0)
    every = make_job(**options)
    assert every.prepared.neighbourhood.rows is None
    assert bits(every.carry_out()) == bits(by_index)


def test_local_runs_equal_runs_of_all_rows_in_ranks_groups_and_counts(make_job: MakeJob, graph, models, monkeypatch):
    distinct, times = np.unique(graph.lines, axis=0, return_counts=True)  # duplicates are equal up to rounding
    listed = distinct[times == 1][::7]
    options = {"parameters": (ENTITIES,), "precision": "float64", "rank_of": listed, "only_relations": (0, 1, 2)}
    options |= {"group_by": ("relation", "head"), "model": models[0]}
    local = make_job(**options).carry_out()
    monkeypatch.setattr("tracin_dask.runs.prepare.is_local", lambda *_: False)
    whole = make_job(**options).carry_out()
    for ours, theirs in zip(local.rankings, whole.rankings, strict=True):
        kept = theirs.influence != 0
        np.testing.assert_allclose(ours.influence, theirs.influence[kept], rtol=1e-12)
        np.testing.assert_array_equal(ours.triples, theirs.triples[kept])
    np.testing.assert_array_equal(local.ranks.rank, whole.ranks.rank)
    assert local.run["num_ranked_rows"] == whole.run["num_ranked_rows"] < NUM_ROWS
    for ours, theirs in zip(local.groups, whole.groups, strict=True):
        np.testing.assert_array_equal(ours.num_triples, theirs.num_triples)
        for name in ("positive", "negative", "net"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-12)


def test_workers_give_the_same_bits(make_job: MakeJob, client: Client, monkeypatch):
    monkeypatch.setattr(rows_method, "TRIPLES_PER_PART", 64)
    monkeypatch.setattr(fit, "MERGE_FAN_IN", 3)
    monkeypatch.setattr(rows_method, "GROUP_BYTES", 8 * 1024)
    for options in ({}, {"loss": SLCWA(num_negatives=2)}, {"mode": "self"}):
        job = make_job(curvature="rows", **options)
        here, there = job.carry_out(), job.carry_out(client)
        assert bits(here) == bits(there)


def test_saved_scores_groups_and_resumed_runs_equal_one_whole_run(make_job: MakeJob, graph, models, tmp_path):
    influence, scale = truth(models[:1], graph)
    options = FLOAT64 | {"group_by": ("relation",), "save_scores": tmp_path / "scores.zarr"}
    job = make_job(model=models[0], **options)
    execution = Execution(record_directory=tmp_path / "records")
    first = job.carry_out(execution=execution, task_rows=BATCH_SIZE, tasks_per_group=1)
    saved = zarr.open_group(tmp_path / "scores.zarr", mode="r")
    by_line = np.empty((NUM_ROWS, 3))
    by_line[saved["train_index"][:]] = saved["influence"][:].T
    assert (np.abs(by_line - influence) <= 1e-6 * scale.max()).all()
    kept = sorted(file for file in (tmp_path / "records").iterdir() if file.suffix == ".npz")
    for file in kept[::2]:
        file.unlink()
    again = make_job(model=models[0], **options).carry_out(execution=replace(execution, restart=False))
    assert bits(again) == bits(first)


@pytest.mark.parametrize("name", ["DistMult", "RotatE"])
@pytest.mark.parametrize("loss", ["bce", "slcwa"])
def test_other_models_have_the_curvature_of_their_own_tables(make_job: MakeJob, graph, tmp_path, name, loss):
    checkpoint = write(tmp_path, name, 1)
    model = checkpoint.model.model
    kinds = {"bce": ({}, own_bce), "slcwa": ({"loss": SLCWA(num_negatives=2)}, None)}
    options, value = kinds[loss]
    if value is None:

        def value(model, triple):
            drawn = options["loss"].corrupted(triple[None].numpy(), 60)[:, 0]
            every = torch.cat([triple[None], torch.from_numpy(drawn)])
            return options["loss"].value(model.score_hrt(every).T)[0]

    table = next(t.name for t in checkpoint.config.tables if t.role == "entity" and t.is_trained)

    def gradients(triple):
        return any_gradients(model, triple, value)

    train, test = (
        dense_curvature.table_gradients(
            dense_curvature.of_each(gradients, triples, (name, loss)), {table: NUM_ENTITIES}
        )
        for triples in (graph.lines, graph.test_triples)
    )
    influence, scale = dense_curvature.influences(train, test, dense_curvature.inverses(train, rows_method.DAMPING))
    result = make_job(model=checkpoint, **FLOAT64, **options, learning_rate=LEARNING_RATE).carry_out()
    assert_equal(result, (LEARNING_RATE * influence, LEARNING_RATE * scale))


@pytest.mark.parametrize("tables", ["entity", "entity and relation"])
def test_scores_of_other_models_are_explained_under_losses_of_all_scores(make_job: MakeJob, graph, tmp_path, tables):
    checkpoint = write(tmp_path, "DistMult", 1)
    model = checkpoint.model.model
    names = {t.name: t.role for t in checkpoint.config.tables if t.is_trained and t.role in tables}
    rows = {name: NUM_ENTITIES if role == "entity" else NUM_RELATIONS for name, role in names.items()}

    def score(model, triple):
        return -model.score_hrt(triple[None])[0, 0]

    def all_scores(model, triple):
        return SMOOTHED.value(model.score_t(triple[None, :2]), triple[None, 2])[0]

    train, test = (
        dense_curvature.table_gradients(
            dense_curvature.of_each(lambda one, of=of: any_gradients(model, one, of), triples, of), rows
        )
        for triples, of in ((graph.lines, all_scores), (graph.test_triples, score))
    )
    influence, scale = dense_curvature.influences(train, test, dense_curvature.inverses(train, rows_method.DAMPING))
    options = FLOAT64 | {"loss": SMOOTHED, "explain": "score", "parameters": tuple(names)}
    result = make_job(model=checkpoint, **options, learning_rate=LEARNING_RATE).carry_out()
    assert_equal(result, (LEARNING_RATE * influence, LEARNING_RATE * scale))


def test_options_that_contradict_the_curvature_are_refused(make_job: MakeJob):
    with pytest.raises(ConfigError, match="give only one of them"):
        make_job(curvature="rows", preconditioner="adam")
    with pytest.raises(ConfigError, match=r"fc\.weight is none; track entity_embeddings"):
        make_job(curvature="rows", parameters=("fc.weight",))
    with pytest.raises(ConfigError, match=r"damping 3\.0 is that of a curvature"):
        make_job(damping=3.0)
    with pytest.raises(ConfigError, match="damping must be a positive number"):
        make_job(curvature="rows", damping=0.0)
    tight = Resources(num_workers=1, threads_per_worker=1, memory_bytes=2 << 20)
    with pytest.raises(MemoryLimitError, match="the curvature"):
        make_job(curvature="rows", resources=tight)
