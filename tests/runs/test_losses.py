"""Whole runs under every loss and question find what the plain autograd loop finds."""

import copy
import itertools

import numpy as np
import oracle
import pytest
import torch
from distributed import Client
from small_graph import LEARNING_RATE, NUM_ROWS, Graph, MakeJob, bits, save_checkpoint, small_model

from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.load import load_checkpoint
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.identity import score_identity

TOLERANCE = 1e-5
"""Of float32 sums, relative to the product of the gradients' norms."""
SMOOTH, CORRUPTED = OneToAll(label_smoothing=0.1), SLCWA(num_negatives=2, seed=4)
LOSSES = {
    "bce": (BinaryCrossEntropy(), oracle.bce),
    "one-to-all": (SMOOTH, oracle.of_all_scores(SMOOTH.value)),
    "slcwa": (CORRUPTED, oracle.of_negatives(CORRUPTED)),
}
SCORE = oracle.of_own_score(lambda scores: -scores)
SOME = 40
"""Lines that the oracle is asked about."""


def gradients(model, triples, loss) -> torch.Tensor:
    found = [oracle.gradients(model, triple, loss).values() for triple in torch.from_numpy(np.asarray(triples))]
    return torch.stack([torch.cat([part.flatten() for part in parts]) for parts in found])


def by_line(result: InfluenceResult, test: int) -> np.ndarray:
    ranking = result.rankings[test]
    assert len(ranking) == NUM_ROWS
    return ranking.influence[np.argsort(ranking.train_index)]


def assert_agrees(result: InfluenceResult, test: int, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Compare the first lines with the products of the oracle's gradients."""
    expected = LEARNING_RATE * (ours @ theirs).numpy()
    scale = LEARNING_RATE * (ours.norm(dim=1) * theirs.norm()).numpy()
    assert (np.abs(by_line(result, test)[:SOME] - expected) <= TOLERANCE * scale).all()


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint):
    return copy.deepcopy(checkpoint.model).double()


@pytest.fixture(scope="module")
def question(make_job: MakeJob, graph: Graph, model):
    return make_job, graph, model


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("explain", "is_contrast"), list(itertools.product(["loss", "score"], [False, True])))
def test_influences_of_every_loss_equal_the_oracle_for_every_line(question, loss, explain, is_contrast):
    make_job, graph, model = question
    chosen, plain = LOSSES[loss]
    tests, asked = graph.test_triples, plain if explain == "loss" else SCORE
    others = tuple(int(tail) for tail in (tests[:, 2] + 7) % 60) if is_contrast else ()
    result = make_job(loss=chosen, explain=explain, contrast=others, top_k=NUM_ROWS).carry_out()
    if is_contrast:
        tests, asked = np.column_stack([tests, others]), oracle.of_contrast(asked)
    ours, theirs = gradients(model, graph.lines[:SOME], plain), gradients(model, tests, asked)
    for test in range(len(tests)):
        assert_agrees(result, test, ours, theirs[test])


@pytest.mark.parametrize("loss", LOSSES)
def test_self_influence_of_every_loss_equals_the_oracle(make_job: MakeJob, graph: Graph, model, loss):
    chosen, plain = LOSSES[loss]
    result = make_job(mode="self", loss=chosen, top_k=NUM_ROWS).carry_out()
    expected = LEARNING_RATE * gradients(model, graph.lines[:SOME], plain).square().sum(dim=1).numpy()
    np.testing.assert_allclose(by_line(result, 0)[:SOME], expected, rtol=TOLERANCE)


@pytest.mark.parametrize("loss", ["one-to-all", "slcwa"])
def test_sums_over_checkpoints_are_sums_under_every_loss(make_job: MakeJob, checkpoint, loss, tmp_path):
    other = load_checkpoint(save_checkpoint(tmp_path / "other.pt", small_model(seed=8)))
    settings = {"loss": LOSSES[loss][0], "contrast": (5,), "tests": [(1, 2, 3)], "top_k": NUM_ROWS}
    one, two, both = (
        make_job(model=found, **settings).carry_out() for found in (checkpoint, other, [checkpoint, other])
    )
    np.testing.assert_allclose(by_line(both, 0), by_line(one, 0) + by_line(two, 0), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
def test_precision_float64_computes_in_float64(make_job: MakeJob, graph: Graph, checkpoint: Checkpoint, model, loss):
    exact = load_checkpoint(checkpoint.path, dtype=torch.float64)
    chosen, plain = LOSSES[loss]
    job = make_job(loss=chosen, model=exact, precision="float64", top_k=NUM_ROWS)
    result = job.carry_out()
    assert result.run["precision"] == "float64"
    ours, theirs = gradients(model, graph.lines[:SOME], plain), gradients(model, graph.test_triples, plain)
    expected = LEARNING_RATE * (ours @ theirs[0]).numpy()
    scale = LEARNING_RATE * (ours.norm(dim=1) * theirs[0].norm()).numpy()
    assert (np.abs(by_line(result, 0)[:SOME] - expected) <= 1e-9 * scale).all()
    assert job.plan.memory.test_triples > 1.5 * make_job(loss=chosen).plan.memory.test_triples


def test_weights_of_another_type_than_the_precision_are_refused(make_job: MakeJob):
    with pytest.raises(ConfigError, match=r"float64 computes in torch\.float64, and .* was loaded in torch\.float32"):
        make_job(precision="float64")


@pytest.mark.parametrize("loss", ["one-to-all", "slcwa"])
def test_workers_give_the_bits_of_one_process_for_every_loss(make_job: MakeJob, two_workers: Client, loss):
    job = make_job(loss=LOSSES[loss][0], contrast=("GENE:00",), explain="loss")
    assert bits(job.carry_out(two_workers)) == bits(job.carry_out())


def test_the_result_states_loss_contrast_and_explain(make_job: MakeJob, tmp_path):
    result = make_job(loss=CORRUPTED, explain="score", contrast=("GENE:07",), tests=[(3, 2, 9)]).carry_out()
    assert {"loss": "slcwa", "num_negatives": 2, "seed": 4, "explain": "score"}.items() <= result.run.items()
    assert result.to_dict()["contrast"] == {"tail": 1, "tail_label": "GENE:07"}
    summary = result.write_directory(tmp_path)
    assert (tmp_path / "triple_3_2_9_not_1.json").exists()
    assert '"contrast"' in summary.read_text()
    assert make_job(loss=SMOOTH).carry_out().run["label_smoothing"] == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": (1, 2)}, "2 other tails for 3 test triples; give one for all, or one each"),
        ({"contrast": (60,)}, "the other tail 60 is not among the 60 that"),
        ({"contrast": ("GENE:99999",)}, "GENE:99999"),
        ({"contrast": (4,), "tests": [(1, 2, 3), (1, 2, 4)]}, "the other tail GENE:28 is that of test triple 2 itself"),
        ({"contrast": (4,), "mode": "self"}, "another tail, and explaining the score, are about test triples"),
        ({"explain": "score", "mode": "self"}, "another tail, and explaining the score, are about test triples"),
    ],
)
def test_losses_and_questions_that_contradict_are_refused(make_job: MakeJob, options, message):
    with pytest.raises(ConfigError, match=message):
        make_job(**options)


def test_runs_of_other_losses_and_questions_are_not_resumed(make_job: MakeJob):
    jobs = [
        make_job(**options)
        for options in (
            {},
            {"loss": OneToAll()},
            {"loss": SMOOTH},
            {"loss": SLCWA()},
            {"loss": SLCWA(seed=1)},
            {"loss": SLCWA(num_negatives=2)},
            {"explain": "score"},
            {"contrast": (1,)},
            {"contrast": (2,)},
        )
    ]
    identities = [repr(score_identity(job.prepared, job.plan)) for job in jobs]
    assert len(set(identities)) == len(jobs)


def test_plan_counts_all_scores_and_corrupted_triples(make_job: MakeJob):
    plain, smooth, corrupted, contrast = (
        make_job(**options).plan for options in ({}, {"loss": SMOOTH}, {"loss": CORRUPTED}, {"contrast": (1,)})
    )
    assert plain.multiply_adds.scores == 0 < smooth.multiply_adds.scores
    assert smooth.modes.all_scores
    assert corrupted.multiply_adds.total > 3 * plain.multiply_adds.total
    assert contrast.multiply_adds.total > plain.multiply_adds.total
    assert contrast.memory.test_triples > plain.memory.test_triples
