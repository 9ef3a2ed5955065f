"""The bytes and multiply-adds that a plan adds for a preconditioner are those that it takes."""

from dataclasses import asdict, replace

import pytest
import torch
from influence.agreement import engine_for
from influence.indexed import parts, training_lengths
from influence.test_cost import (
    ALL_DISTINCT,
    BATCH,
    FLOAT32,
    estimated,
    estimated_norms,
    float32_model,
    flops_of_addmm,
    jacobian_bytes,
    peak_of,
)
from influence.tiled import tile
from torch.utils.flop_counter import FlopCounterMode

from tracin_dask.influence.columns import Question, Targets, prepare_question
from tracin_dask.influence.conve import cost
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.norm_cost import norm_multiply_adds
from tracin_dask.influence.conve.preconditioned import layout_of
from tracin_dask.influence.conve.preconditioner_cost import (
    preconditioned_layout_bytes,
    preconditioner_bytes,
)
from tracin_dask.influence.conve.scorer import Scorer
from tracin_dask.influence.cost import Storage, Workload
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll
from tracin_dask.influence.preconditioners.diagonal import laid_out
from tracin_dask.influence.tiling import ON_CPU, ON_GPU

MODES = [Modes(), Modes(forward=True, relation_table=True), Modes(all_scores=True)]


@pytest.fixture(params=[(32, 8, "width"), (200, 10, "height")], ids=["32", "200"])
def model(request):
    return float32_model(*request.param)


def engine_of(model, modes: Modes, *, recompute: bool = False):
    scales = {name: torch.rand_like(weight) + 1 for name, weight in model.named_parameters()}
    loss = OneToAll() if modes.all_scores else BinaryCrossEntropy()
    options = {"modes": modes, "loss": loss, "recompute": recompute}
    return engine_for(model, scales, preconditioner=laid_out(scales, layout_of(model.config)), **options)


@pytest.mark.parametrize("tiling", [ON_CPU, ON_GPU], ids=["as on a CPU", "as on a GPU"])
@pytest.mark.parametrize("num_tests", [1, 64])
@pytest.mark.parametrize("modes", MODES, ids=str)
def test_preconditioned_scoring_takes_about_the_estimated_bytes_at_most(model, modes, num_tests, tiling, monkeypatch):
    tile(monkeypatch, **asdict(tiling))
    allowance = (
        0 if tiling is ON_GPU or num_tests == 1 else 4 * tiling.move_bytes
    )  # pieces of more than one test triple
    for recompute in (False, True):
        engine, scorers = engine_of(model, modes, recompute=recompute), []
        test = engine.prepare(ALL_DISTINCT[:1].expand(num_tests, -1), batch_size=BATCH)
        storage = Storage(itemsize=FLOAT32, recompute=recompute, tiling=tiling)

        peak = peak_of(lambda: scorers.append(Scorer(engine, test)))  # noqa: B023 - called at once
        estimate = cost.layout_bytes(model.config, num_tests, FLOAT32, modes)
        estimate += preconditioned_layout_bytes(model.config, num_tests, FLOAT32, modes)
        assert peak <= estimate + 2 * jacobian_bytes(engine)

        peak = peak_of(lambda: [part.influences for part in parts(scorers[0], ALL_DISTINCT.numpy())])  # noqa: B023 - called at once
        estimate = estimated(model, num_tests, modes, storage, is_preconditioned=True)
        assert peak <= estimate <= 2.7 * peak + allowance


@pytest.mark.parametrize("modes", [Modes(), Modes(all_scores=True)], ids=str)
def test_preconditioned_self_influence_takes_about_the_estimated_bytes_at_most(model, modes):
    engine, storage = engine_of(model, modes), Storage(itemsize=FLOAT32)
    peak = peak_of(lambda: engine.self_influence(ALL_DISTINCT))
    assert peak <= (estimate := estimated_norms(model, modes, storage, is_preconditioned=True)), estimate / peak
    assert estimate <= 1.3 * peak


def test_a_preconditioner_takes_about_the_estimated_bytes_at_most(model):
    weights = {name: torch.rand_like(weight) for name, weight in model.named_parameters()}
    taken = peak_of(lambda: laid_out({name: 2 * weight for name, weight in weights.items()}, layout_of(model.config)))
    estimate = preconditioner_bytes(model.config, frozenset(weights), FLOAT32)
    assert taken <= estimate <= 1.5 * taken
    fc = preconditioner_bytes(model.config, frozenset({"fc.weight"}), FLOAT32)
    assert fc == estimate - FLOAT32 * (
        weights["entity_embeddings.weight"].numel() + weights["relation_embeddings.weight"].numel()
    )


def flops_of(work) -> int:
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops_of_addmm})
    with torch.no_grad(), counter:
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("num_tests", [1, 3])
@pytest.mark.parametrize("modes", MODES, ids=str)
def test_preconditioned_scoring_takes_about_the_counted_multiply_adds(model, modes, num_tests):
    engine = engine_of(model, modes := replace(modes, relation_table=False))
    train, test = ALL_DISTINCT[:40], ALL_DISTINCT[50 : 50 + num_tests]  # nothing in common
    scorer = Scorer(engine, engine.prepare(test, batch_size=BATCH))
    sizes = {"num_triples": 40, "num_heads": 40, "num_pairs": 40, "all_scores": modes.all_scores}
    plain, counted = (
        cost.multiply_adds(
            model.config,
            Workload(num_tests=num_tests, is_preconditioned=choice, **sizes),
            engine.tracked,
            modes,
        ).total
        for choice in (False, True)
    )
    assert 0.9 < flops_of(lambda: scorer.score(train)) / 2 / counted < 1.1
    assert counted > 1.1 * plain


def test_explaining_scores_under_a_loss_of_all_scores_takes_about_the_counted_multiply_adds(model):
    engine, asked = engine_of(model, modes := Modes(all_scores=True)), ALL_DISTINCT[50:53].numpy()
    scorer = Scorer(
        engine, prepare_question(engine, Question(explain="score"), Targets(triples=asked), batch_size=BATCH)
    )
    sizes = {"num_triples": 40, "num_heads": 40, "num_pairs": 40, "num_tests": 3, "is_preconditioned": True}
    work = Workload(all_scores=True, tests_at_all_scores=False, **sizes)
    counted = cost.multiply_adds(model.config, work, engine.tracked, modes).total
    assert 0.9 < flops_of(lambda: scorer.score(ALL_DISTINCT[:40])) / 2 / counted < 1.1


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), OneToAll(), SLCWA()], ids=lambda loss: loss.name)
def test_preconditioned_norms_take_about_the_counted_multiply_adds(model, loss):
    engine = replace(engine_of(model, Modes(all_scores=isinstance(loss, OneToAll))), loss=loss)
    negatives = loss.num_negatives if isinstance(loss, SLCWA) else 0
    sizes = {"num_triples": BATCH, "num_heads": BATCH, "num_pairs": BATCH, "num_negatives": negatives}
    work = Workload(num_tests=5, all_scores=isinstance(loss, OneToAll), is_preconditioned=True, **sizes)
    counted = norm_multiply_adds(model.config, work, engine.tracked).total
    assert 0.8 < flops_of(lambda: training_lengths([engine], ALL_DISTINCT.numpy())) / 2 / counted < 1.25
