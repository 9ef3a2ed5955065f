"""Runs of any model: summed over checkpoints, divided, saved, cut off, and on workers, as autograd has it."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import numpy as np
import pytest
import torch
import zarr
from distributed import Client
from influence.any_model import SETTINGS, Bilinear, gradients, own_bce, step
from influence.unusual_models import Complex, OldWaves
from pykeen.models import ERModel, model_resolver
from pykeen.triples import CoreTriplesFactory
from result_bits import result_bits
from small_graph import BATCH_SIZE, NUM_ENTITIES, NUM_RELATIONS, NUM_ROWS, Graph, MakeJob, bits

from tracin_dask.errors import CheckpointError, ConfigError, MemoryLimitError
from tracin_dask.influence.losses import SLCWA, OneToAll
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.whole_model import face_of
from tracin_dask.report.formats import read_result
from tracin_dask.resources import Resources
from tracin_dask.runs.execute.driver import Execution

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 2}
LEARNING_RATES = (0.5, 0.25)


def model_of(name: str, seed: int) -> ERModel:
    graph = CoreTriplesFactory(
        torch.empty((0, 3), dtype=torch.int64), num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS
    )
    return model_resolver.lookup(name)(triples_factory=graph, random_seed=seed, **SETTINGS[name]).double().eval()


def some_triples(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    limits = (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)
    return torch.stack([torch.randint(limit, (200,), generator=generator) for limit in limits], dim=1)


def write(folder, name: str, seed: int) -> Checkpoint:
    """Write a model after some steps of Adam, and its optimiser's state; load it."""
    path, model = folder / f"{name}_{seed}.pt", model_of(name, seed)
    optimizer = step(model, some_triples(seed))
    torch.save({"state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict()}, path)
    description = ModelDescription(model=name, model_kwargs=SETTINGS[name])
    return load_checkpoint(path, description=description, dtype=torch.float64)


@pytest.fixture(scope="module", params=["DistMult", "TuckER"])
def checkpoints(request, tmp_path_factory) -> list[Checkpoint]:
    """Two checkpoints of a model, one whose gradients are rows only and one with dense tensors."""
    folder = tmp_path_factory.mktemp("any_model")
    return [write(folder, request.param, seed) for seed in (1, 2)]


@pytest.fixture(scope="module")
def rows(checkpoints, graph: Graph):
    """Whole gradients of all checkpoints side by side, each times the root of its learning rate: [triple, numbers]."""

    return rows_of(checkpoints, graph)


def rows_of(checkpoints, graph, roots=(1.0, 1.0)):
    """Put gradients times what is given for each checkpoint side by side, of training and test triples."""

    def of(triples):
        return torch.cat(
            [
                rate**0.5
                * root
                * torch.stack([torch.cat([*gradients(c.model.model, t, own_bce).values()]) for t in triples])
                for c, rate, root in zip(checkpoints, LEARNING_RATES, roots, strict=True)
            ],
            dim=1,
        ).numpy()

    return of(torch.from_numpy(graph.lines)), of(torch.from_numpy(graph.test_triples))


def root_of_scales(checkpoint):
    """Compute √P of all parameters side by side, from the state in a checkpoint's file."""
    state = torch.load(checkpoint.path, weights_only=True)["optimizer_state_dict"]["state"]
    second = torch.cat([state[number]["exp_avg_sq"].flatten() for number in sorted(state)])
    return ((second / (1 - 0.999 ** int(state[0]["step"]))).sqrt() + 1e-8).rsqrt()


@pytest.fixture
def options(checkpoints):
    return {"model": checkpoints, "learning_rate": LEARNING_RATES, "precision": "float64"}


def test_saved_scores_and_contributions_of_other_models_equal_autograd(make_job: MakeJob, options, rows, tmp_path):
    job = make_job(**options, checkpoint_contributions=True, save_scores=tmp_path / "scores.zarr")
    result = job.carry_out()
    train, test = rows
    scale = np.linalg.norm(train, axis=1)[:, None] * np.linalg.norm(test, axis=1)
    saved = zarr.open_group(tmp_path / "scores.zarr", mode="r")
    by_line = np.empty((NUM_ROWS, 3))
    by_line[saved["train_index"][:]] = saved["influence"][:].T
    assert (np.abs(by_line - train @ test.T) <= 1e-6 * scale).all()  # saved in float32
    for index, ranking in enumerate(result.rankings):
        expected = (train @ test.T)[ranking.train_index, index]
        assert (np.abs(ranking.influence - expected) <= 1e-9 * scale[ranking.train_index, index]).all()
        parts = result.contributions[index]
        assert parts.shape == (len(ranking), 2)
        np.testing.assert_allclose(parts.sum(axis=1), ranking.influence, rtol=1e-9, atol=1e-15)


def test_a_result_of_other_models_is_read_back_bit_for_bit(make_job: MakeJob, options, tmp_path):
    result = make_job(**options, checkpoint_contributions=True, normalize="cosine").carry_out()
    result.write_directory(tmp_path)
    assert result_bits(read_result(tmp_path)) == result_bits(result)


def test_normalised_influences_of_other_models_equal_autograd(make_job: MakeJob, options, rows):
    result = make_job(**options, normalize="cosine").carry_out()
    train, test = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in rows)
    for index, ranking in enumerate(result.rankings):
        np.testing.assert_allclose(ranking.influence, (train @ test.T)[ranking.train_index, index], rtol=0, atol=1e-9)


def test_adam_influences_of_other_models_equal_autograd(make_job: MakeJob, options, checkpoints, graph: Graph):
    """Of influences, of their quotients by Adam's norms, and of triples with themselves."""
    train, test = rows_of(checkpoints, graph, [root_of_scales(checkpoint) for checkpoint in checkpoints])
    lengths, options = np.linalg.norm(train, axis=1), options | {"preconditioner": "adam"}
    result = make_job(**options).carry_out()
    for ranking, explained in zip(result.rankings, test, strict=True):
        found = ranking.influence / lengths[ranking.train_index] / np.linalg.norm(explained)
        expected = (train @ explained)[ranking.train_index] / lengths[ranking.train_index] / np.linalg.norm(explained)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert set(result.run["parameters"]) == set(checkpoints[0].config.parameter_names)
    result = make_job(**options, normalize="relatif").carry_out()
    np.testing.assert_allclose(
        result.rankings[0].influence, (train @ test[0] / lengths)[result.rankings[0].train_index], rtol=1e-7
    )
    (ranking,) = make_job(**options, mode="self").carry_out().rankings
    np.testing.assert_allclose(ranking.influence, lengths[ranking.train_index] ** 2, rtol=1e-9)


def test_plan_counts_the_preconditioner_of_other_models(make_job: MakeJob, options, checkpoints):
    plain, scaled = (make_job(**options, mode="self", preconditioner=way).plan for way in ("none", "adam"))
    (config,) = {checkpoint.config for checkpoint in checkpoints}
    assert scaled.memory.model - plain.memory.model == 2 * 8 * config.tracked_size(frozenset(config.parameter_names))
    assert scaled.multiply_adds.total > plain.multiply_adds.total


def test_self_influences_of_other_models_equal_autograd(make_job: MakeJob, options, rows):
    (ranking,) = make_job(**options, mode="self").carry_out().rankings
    squares = (rows[0] ** 2).sum(axis=1)
    np.testing.assert_allclose(ranking.influence, squares[ranking.train_index], rtol=1e-9)
    assert ranking.influence[-1] == pytest.approx(np.sort(squares)[-20])


@pytest.mark.parametrize(
    "more", [{}, {"loss": SLCWA(), "normalize": "relatif"}, {"preconditioner": "adam", "normalize": "cosine"}]
)
def test_workers_give_the_bits_of_one_process_for_other_models(make_job: MakeJob, client: Client, options, more):
    job = make_job(**options, **more)
    here = job.carry_out()
    assert bits(job.carry_out(client, **SMALL_TASKS)) == bits(here)
    assert job.prepared.model_config.name.startswith(("DistMult(", "TuckER("))
    assert here.run["engine"].startswith("automatic differentiation: ")


def test_whole_models_are_sent_to_workers(make_job: MakeJob, client: Client, tmp_path):
    torch.save(model_of("ComplEx", 3), tmp_path / "trained_model.pkl")
    torch.save(model_of("ConvE", 3), tmp_path / "conve.pkl")
    for name in ("trained_model.pkl", "conve.pkl"):
        checkpoint = load_checkpoint(tmp_path / name, trust_pickle=True, dtype=torch.float64)
        job = make_job(model=checkpoint, precision="float64")
        assert bits(job.carry_out(client, **SMALL_TASKS)) == bits(job.carry_out())


def test_weights_of_other_models_are_sent_to_workers_that_do_not_see_them(
    make_job: MakeJob, client: Client, tmp_path, monkeypatch
):
    checkpoint = write(tmp_path, "RotatE", 4)
    job = make_job(model=checkpoint, precision="float64", preconditioner="adam", audit=0)
    here, dump, sent = job.carry_out(), CheckpointFile.dump, []
    monkeypatch.setattr("tracin_dask.runs.execute.on_worker.missing", lambda paths: dict.fromkeys(paths[1:], ""))
    monkeypatch.setattr(CheckpointFile, "dump", lambda file: sent.append(file) or dump(file))
    assert bits(job.carry_out(client, **SMALL_TASKS)) == bits(here)
    assert [file.path for file in sent] == [checkpoint.path]  # once, for the scores and the audit


def test_an_interrupted_run_of_another_model_resumes(make_job: MakeJob, options, tmp_path):
    job, directory = make_job(**options), tmp_path / "records"

    def stop(done, _):
        if done > 6 * BATCH_SIZE:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        job.carry_out(execution=Execution(record_directory=directory, progress=stop), **SMALL_TASKS)
    result = job.carry_out(execution=Execution(record_directory=directory), **SMALL_TASKS)
    assert result.run["statistics"]["resumed_rows"] == 6 * BATCH_SIZE
    assert bits(result) == bits(job.carry_out())


def test_a_copied_model_shares_no_tensor_with_its_original(checkpoints, graph: Graph):
    model = face_of(deepcopy(checkpoints[0].model.model))
    copied, triples = deepcopy(model), torch.from_numpy(graph.lines)
    expected = model(triples)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.zero_()
    assert torch.equal(copied(triples), expected)
    assert not torch.equal(model(triples), expected)


def test_a_run_under_one_to_all_finds_what_autograd_finds(make_job: MakeJob, graph: Graph, tmp_path):
    checkpoint, loss = write(tmp_path, "DistMult", 1), OneToAll(label_smoothing=0.1)
    model = checkpoint.model.model
    named = [tensor for tensor in model.parameters() if tensor.requires_grad]

    def gradient(triple: np.ndarray) -> torch.Tensor:
        ids = torch.from_numpy(triple)[None]
        found = torch.autograd.grad(loss.value(model.score_t(ids[:, :2]), ids[:, 2]).sum(), named)
        return torch.cat([part.flatten() for part in found])

    options = {"model": checkpoint, "precision": "float64", "loss": loss, "learning_rate": 0.5, "top_k": NUM_ROWS}
    job = make_job(**options, normalize="cosine")
    assert "gradients of each triple by all tensors, with their lengths" in str(job.plan.modes)
    without = make_job(**options)
    assert "scores of all entities per (head, relation)" in str(without.plan.modes)
    cosine, plain = job.carry_out(), without.carry_out()
    ours = torch.stack([gradient(line) for line in graph.lines[:20]])
    for test, triple in enumerate(graph.test_triples[:2]):
        theirs = gradient(triple)
        bound = (ours.norm(dim=1) * theirs.norm()).numpy()
        found, quotient = (by_line(result, test)[:20] for result in (plain, cosine))
        assert (np.abs(found - 0.5 * (ours @ theirs).numpy()) <= 1e-9 * bound).all()
        assert (np.abs(quotient - (ours @ theirs).numpy() / bound) <= 1e-9).all()


def by_line(result, test: int) -> np.ndarray:
    ranking = result.rankings[test]
    return ranking.influence[np.argsort(ranking.train_index)]


def test_a_model_that_scores_one_triple_at_a_time_is_refused_one_to_all(make_job: MakeJob, tmp_path):
    torch.manual_seed(0)
    torch.save(Bilinear(NUM_ENTITIES, NUM_RELATIONS).double().state_dict(), tmp_path / "own.pt")
    checkpoint = load_checkpoint(tmp_path / "own.pt", description=ModelDescription(model=Bilinear), dtype=torch.float64)
    message = r"one-to-all reads the scores of all 60 entities .*, and .* has no method score_tails\(pairs\)"
    with pytest.raises(ConfigError, match=message):
        make_job(model=checkpoint, precision="float64", loss=OneToAll())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"precision": "bf16"}, r"is DistMult\(.*\): precision bf16 rounds .* take float32 or float64"),
        ({"gradient_checkpointing": True}, "gradient_checkpointing needs an engine that can compute activations again"),
        ({"last_layers": 2}, "has no last 2 layers: the order of its layers is unknown; name tensors"),
    ],
)
def test_options_of_conve_are_refused_for_other_models(make_job: MakeJob, tmp_path, option, message):
    checkpoint = write(tmp_path, "DistMult", 1)
    with pytest.raises(ConfigError, match=message):
        make_job(**{"model": checkpoint, "precision": "float64"} | option)


def test_models_without_the_state_of_adam_are_refused(make_job: MakeJob, tmp_path):
    torch.save(model_of("DistMult", 3), tmp_path / "trained_model.pkl")
    torch.save(model_of("ConvE", 3), tmp_path / "conve.pkl")
    torch.save(model_of("DistMult", 3).state_dict(), tmp_path / "state.pt")
    description = ModelDescription(model="DistMult", model_kwargs=SETTINGS["DistMult"])
    for name, how in (
        ("trained_model.pkl", {"trust_pickle": True}),
        ("conve.pkl", {"trust_pickle": True}),
        ("state.pt", {"description": description}),
    ):
        model = load_checkpoint(tmp_path / name, dtype=torch.float64, **how)
        with pytest.raises(CheckpointError, match=rf"{name}: has no optimizer_state_dict, from which Adam's"):
            make_job(model=model, precision="float64", preconditioner="adam")


@pytest.mark.parametrize("model", [Bilinear, "influence.any_model:Bilinear"], ids=["class", "name"])
def test_workers_build_models_of_a_user_class(make_job: MakeJob, client: Client, tmp_path, model):
    torch.save(Bilinear(NUM_ENTITIES, NUM_RELATIONS, dim=4).state_dict(), tmp_path / "own.pt")
    description = ModelDescription(model=model, model_kwargs={"dim": 4})
    job = make_job(model=load_checkpoint(tmp_path / "own.pt", description=description))
    assert bits(job.carry_out(client, **SMALL_TASKS)) == bits(job.carry_out())


@pytest.mark.parametrize("kind", [Complex, OldWaves])
def test_workers_explain_complex_models_and_those_without_forward_mode_as_autograd_has_it(
    kind, make_job: MakeJob, client: Client, graph: Graph, tmp_path
):
    torch.manual_seed(0)
    torch.save(kind(NUM_ENTITIES, NUM_RELATIONS).state_dict(), tmp_path / "own.pt")
    checkpoint = load_checkpoint(tmp_path / "own.pt", description=ModelDescription(model=kind), dtype=torch.float64)
    job = make_job(model=checkpoint, precision="float64", learning_rate=LEARNING_RATES[0], top_k=NUM_ROWS)
    result = job.carry_out(client, **SMALL_TASKS)
    assert bits(result) == bits(job.carry_out())
    train, test = rows_of([checkpoint, checkpoint], graph, (1.0, 0.0))  # the second one counts nothing
    for index, theirs in enumerate(test):
        bound = np.linalg.norm(train, axis=1) * np.linalg.norm(theirs)
        assert (np.abs(by_line(result, index) - train @ theirs) <= 1e-9 * bound).all()
    said = "operations of the model have no forward-mode derivatives"
    assert (said in result.run["engine"]) == (said in str(job.plan.modes)) == (kind is OldWaves)


def test_a_run_of_another_model_that_cannot_fit_is_refused(make_job: MakeJob, tmp_path):
    small = Resources(num_workers=1, threads_per_worker=1, memory_bytes=300 << 20)
    with pytest.raises(
        MemoryLimitError, match=r"the run needs about \d+ MiB per worker with batches of 64, but a worker"
    ):
        make_job(model=write(tmp_path, "RotatE", 1), precision="float64", resources=small)


def test_two_runs_of_one_model_in_two_threads_have_the_bits_of_single_runs(make_job: MakeJob, options):
    job = make_job(**options)
    with ThreadPoolExecutor(max_workers=2) as pool:
        found = [future.result() for future in [pool.submit(job.carry_out, **SMALL_TASKS) for _ in range(2)]]
    alone = bits(job.carry_out(**SMALL_TASKS))
    assert [bits(result) for result in found] == [alone, alone]
