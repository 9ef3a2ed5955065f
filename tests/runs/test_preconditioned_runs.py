"""Runs through Adam's preconditioner: values, what is stated, workers, norms, contributions, resuming, plans."""

import copy
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import oracle
import pytest
import torch
from distributed import Client
from small_graph import BATCH_SIZE, LEARNING_RATE, NUM_ROWS, Graph, MakeJob, bits, save_checkpoint, small_model

from tracin_dask.errors import CheckpointError, ConfigError, ResumeError
from tracin_dask.influence.losses import OneToAll
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.conve.model import CANCELLED
from tracin_dask.models.load import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.execute import on_worker
from tracin_dask.runs.execute.driver import Execution

SMALL_TASKS = {"task_rows": BATCH_SIZE, "tasks_per_group": 4}
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def series(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Checkpoint], list[dict]]:
    """Three checkpoints of a training with Adam, and what the oracle says that Adam multiplies gradients with."""
    model, folder = small_model(), tmp_path_factory.mktemp("trained")
    optimizer = torch.optim.Adam(model.train().parameters(), lr=LEARNING_RATE)
    heads, relations, tails = torch.from_numpy(graph.lines[:64]).T
    checkpoints, scales = [], []
    for epoch in range(3):
        optimizer.zero_grad()
        OneToAll().value(model(heads, relations), tails).mean().backward()
        optimizer.step()
        path = save_checkpoint(folder / f"{epoch}.pt", model)
        contents = torch.load(path, weights_only=True)
        torch.save(contents | {"optimizer_state_dict": optimizer.state_dict()}, path)
        checkpoints.append(load_checkpoint(path))
        scales.append({name: scale.double() for name, scale in oracle.adam_scales(model, optimizer).items()})
    return checkpoints, scales


@pytest.fixture(scope="module")
def make(make_job: MakeJob, series) -> MakeJob:
    def job(*, number: int = 1, **options):
        return make_job(model=series[0][-number:], **({"preconditioner": "adam"} | options))

    return job


@pytest.fixture(scope="module")
def truth(graph: Graph, series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Influences [row, test] at the last checkpoint, and the norms of both sides, without the cancelled tensors."""
    model, scales = copy.deepcopy(series[0][-1].model).double(), series[1][-1]
    train, test = torch.from_numpy(graph.lines[:60]), torch.from_numpy(graph.test_triples)
    products = oracle.products(model, train, test, scales=scales)
    names = products.keys() - CANCELLED
    ours, theirs = (
        torch.stack([found[name] for name in names]).norm(dim=0).numpy() * LEARNING_RATE**0.5
        for found in (oracle.norms(model, triples, scales=scales) for triples in (train, test))
    )
    return LEARNING_RATE * sum(products[name] for name in names).numpy(), ours, theirs


def by_line(ranking) -> np.ndarray:
    return ranking.influence[np.argsort(ranking.train_index)][:60]


@pytest.mark.parametrize("where", ["in process", "two workers"])
def test_adam_influences_and_self_influences_equal_the_oracle_for_every_line(make, truth, client: Client, where):
    influence, ours, theirs = truth
    client = client if where == "two workers" else None
    result = make(top_k=NUM_ROWS).carry_out(client)
    found = np.stack([by_line(ranking) for ranking in result.rankings], axis=1)
    assert (np.abs(found - influence) <= TOLERANCE * ours[:, None] * theirs).all()
    own = make(mode="self", top_k=NUM_ROWS).carry_out(client)
    np.testing.assert_allclose(by_line(own.rankings[0]), ours**2, rtol=TOLERANCE)


def test_norms_under_adam_use_the_preconditioned_product(make, truth):
    influence, ours, theirs = truth
    result = make(top_k=NUM_ROWS, normalize="cosine").carry_out()
    found = np.stack([by_line(ranking) for ranking in result.rankings], axis=1)
    assert np.abs(found - influence / ours[:, None] / theirs).max() <= TOLERANCE
    np.testing.assert_allclose(result.norms.test, theirs, rtol=TOLERANCE)


@pytest.mark.parametrize("options", [{}, {"mode": "self"}, {"loss": OneToAll()}], ids=["bce", "self", "one-to-all"])
def test_tasks_workers_and_unseen_files_change_no_bit_under_adam(make, client: Client, monkeypatch, options):
    job = make(number=2, **options)
    whole = job.carry_out()
    assert bits(job.carry_out(**SMALL_TASKS)) == bits(whole)
    monkeypatch.setattr(on_worker, "missing", lambda paths: {path: "" for path in paths if path.endswith("1.pt")})
    assert bits(job.carry_out(client, **SMALL_TASKS)) == bits(whole)


def test_contributions_of_checkpoints_sum_to_the_influence_under_adam(make):
    result = make(number=3, checkpoint_contributions=True, normalize="relatif").carry_out()
    for ranking, parts in zip(result.rankings, result.contributions, strict=True):
        assert parts.shape == (20, 3)
        largest = np.abs(ranking.influence).max()
        np.testing.assert_allclose(parts.sum(axis=1), ranking.influence, rtol=1e-4, atol=1e-5 * largest)


def test_a_worker_scores_with_adam_after_a_plain_run(make):
    first = make(preconditioner="none", parameters=("fc.*",)).carry_out()
    scaled = make(parameters=("fc.*",)).carry_out()
    assert bits(scaled) != bits(first)
    assert bits(make(preconditioner="none", parameters=("fc.*",)).carry_out()) == bits(first)
    assert bits(make(parameters=("fc.*",)).carry_out()) == bits(scaled)


def test_an_adam_result_states_it_and_omits_cancelled_tensors_unless_named(make, series):
    names = {name for name, _ in series[0][0].model.named_parameters()}
    about = [make(**options).carry_out().run for options in ({}, {"parameters": ("*",)}, {"preconditioner": "none"})]
    assert [run["preconditioner"] for run in about] == ["adam", "adam", "none"]
    assert [set(run["parameters"]) for run in about] == [names - CANCELLED, names, names]


def test_an_adam_run_refuses_records_of_plain_influences(make, tmp_path: Path):
    execution = Execution(record_directory=tmp_path / "records")
    make(preconditioner="none", parameters=("fc.*",)).carry_out(execution=execution)
    with pytest.raises(ResumeError, match=r"\(preconditioner: none then, adam now\)"):
        make(parameters=("fc.*",)).carry_out(execution=execution)
    make(parameters=("bn2.*",)).carry_out(execution=replace(execution, restart=True))
    resumed = make(parameters=("bn2.*",)).carry_out(execution=execution)
    assert resumed.run["statistics"]["resumed_rows"] == NUM_ROWS
    assert bits(resumed) == bits(make(parameters=("bn2.*",)).carry_out())


@pytest.mark.parametrize("loss", [None, OneToAll()], ids=["bce", "one-to-all"])
def test_plan_counts_the_adam_preconditioner(make, loss):
    options = {"parameters": ("*",)} | ({} if loss is None else {"loss": loss})
    plain, scaled = (make(preconditioner=way, **options).plan for way in ("none", "adam"))
    assert scaled.multiply_adds.total > plain.multiply_adds.total
    for part in ("model", "test_triples", "batch"):
        assert getattr(scaled.memory, part) > getattr(plain.memory, part)
    config = make().prepared.model_config
    assert scaled.memory.model - plain.memory.model >= 4 * config.embedding_dim * config.num_features


def test_an_adam_run_refuses_a_checkpoint_without_state_before_starting(make_job: MakeJob, checkpoint: Checkpoint):
    with pytest.raises(CheckpointError, match=rf"{checkpoint.path}: has no optimizer_state_dict, from which"):
        make_job(preconditioner="adam")


def test_unknown_preconditioners_and_fp16_with_adam_are_refused(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as outside of tests
    with pytest.raises(ConfigError, match="preconditioner must be none, adam or a PreconditionerMethod, not 'adagrad'"):
        RunConfig.of(preconditioner="adagrad")
    for precision in ("fp16", "mixed"):
        with pytest.raises(ConfigError, match=rf"precision {precision} .*no number above 65,504.* take bf16"):
            RunConfig.of(preconditioner="adam", precision=precision)
