"""Nothing in the inner loop makes the host wait for the device: seen in a trace of the operators, on a CPU.

What would wait on a GPU reads a value back (`item`) or makes a tensor whose size depends on values (`nonzero`).
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from influence.agreement import engine_for, random_case
from influence.any_model import face
from influence.indexed import parts
from influence.tiled import tile_as_on_a_gpu
from torch.profiler import ProfilerActivity, profile

from tracin_dask.influence import devices
from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.scorer import Scorer
from tracin_dask.influence.finite import LateCheck
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll
from tracin_dask.influence.reductions import group_totals
from tracin_dask.influence.reductions.base import Reduction, Start, scored_batch
from tracin_dask.influence.reductions.exact_ranks import ExactRanksReduction
from tracin_dask.influence.reductions.group_totals import GroupTotalsReduction
from tracin_dask.influence.reductions.num_ranked import NumRankedReduction
from tracin_dask.influence.reductions.ranked import ranked_part
from tracin_dask.influence.reductions.topk_reduction import TopKReduction
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.runs.inputs.groupings import PartGroups

WAITING = {
    "aten::item",
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::is_nonzero",
    "aten::equal",
    "aten::unique",
    "aten::_unique2",
    "aten::bincount",
}
MODES = [Modes(), Modes(head_jacobians=True), Modes(forward=True)]


def operators(scorer, case):
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        for _ in parts(scorer, case.train.numpy()):
            pass
    return {event.key for event in trace.key_averages()}


# torch says of its own profiler which devices it cannot see
@pytest.mark.filterwarnings("ignore:.*profiler:UserWarning")
@pytest.mark.parametrize("dialect", ["width", "height"])
@pytest.mark.parametrize("modes", MODES, ids=str)
def test_scoring_never_synchronises_with_the_device(dialect, modes, monkeypatch):
    tile_as_on_a_gpu(monkeypatch)
    case = random_case(dialect)
    engine = engine_for(case.model, case.names, modes=modes)
    scorer = Scorer(engine, engine.prepare(case.test, batch_size=8))
    found = operators(scorer, case)
    assert "aten::mm" in found or "aten::addmm" in found or "aten::bmm" in found
    assert not found & WAITING


# torch says of its own profiler which devices it cannot see
@pytest.mark.filterwarnings("ignore:.*profiler:UserWarning")
@pytest.mark.parametrize("loss", [OneToAll(label_smoothing=0.1), SLCWA(num_negatives=2)], ids=lambda loss: loss.name)
def test_scoring_with_other_losses_never_synchronises_with_the_device(loss):
    case = random_case("height")
    engine = engine_for(case.model, case.names, loss=loss)
    asked = case.test.numpy()
    scorer = make_scorer(
        engine,
        prepare_question(engine, Question(), Targets(triples=asked), batch_size=8),
        EachItsOwn(num_answers=len(asked)),
    )
    found = operators(scorer, case)
    assert "aten::mm" in found
    assert not found & WAITING


def operators_of_adding(reduction: Reduction) -> set[str]:
    """Add two batches, of which half of the pairs are ranked, as the rows of a task are, but for its end."""
    rows, late = np.arange(9), LateCheck()
    stream = reduction.start(Start(num_columns=2, influences=np.ones((2, 2))))
    ranked = np.random.default_rng(0).random((9, 2)) < 0.5
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        for _ in range(2):
            batch = scored_batch(
                torch.randn(9, 2), triples=np.zeros((9, 3), np.int64), train_index=rows, rows=rows, late=late
            )
            few = ranked_part(batch, ranked.any(axis=1), ranked) if reduction.needs.ranked else batch
            stream.add(replace(few, numbers=tuple(rows % group.num_groups for group in reduction.needs.numbers)))
    return {event.key for event in trace.key_averages()}


REDUCTIONS = {
    "aten::topk": TopKReduction(k=3, skips_zeros=True),
    "aten::searchsorted": ExactRanksReduction(rows=np.array([3, 5]), train_index=np.array([3, 5]), rank_by="absolute"),
    "aten::sum": NumRankedReduction(masks=None),
    "aten::index_add_": GroupTotalsReduction(groupings=(PartGroups(part="head", num_groups=3),)),
}


# torch says of its own profiler which devices it cannot see
@pytest.mark.filterwarnings("ignore:.*profiler:UserWarning")
@pytest.mark.parametrize(("operator", "reduction"), REDUCTIONS.items(), ids=[one.name for one in REDUCTIONS.values()])
def test_reductions_never_synchronise_with_the_device(operator, reduction, monkeypatch):
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)
    monkeypatch.setattr(group_totals, "MOST_UNCARRIED", 10)
    found = operators_of_adding(reduction)
    assert operator in found
    assert not found & WAITING


# torch says of its own profiler which devices it cannot see
@pytest.mark.filterwarnings("ignore:.*profiler:UserWarning")
def test_looking_for_the_best_on_the_host_is_seen_as_synchronisation():
    assert {"aten::nonzero", "aten::_local_scalar_dense"} <= operators_of_adding(REDUCTIONS["aten::topk"])


def test_counting_open_units_on_a_cpu_is_seen_as_synchronisation():
    case = random_case("width")
    engine = engine_for(case.model, case.names, modes=Modes(long_run=1))
    assert "aten::nonzero" in operators(Scorer(engine, engine.prepare(case.test, batch_size=8)), case)


# torch says of its own profiler which devices it cannot see
@pytest.mark.filterwarnings("ignore:.*profiler:UserWarning")
@pytest.mark.parametrize("forward", [False, True])
@pytest.mark.parametrize("name", ["RotatE", "TuckER"])
def test_the_autograd_engine_never_synchronises_with_the_device(name, forward):
    case, model = random_case("width"), face(name)
    engine = GradientEngine(
        model=model,
        tracked=frozenset(model.config.parameter_names),
        loss=BinaryCrossEntropy(),
        learning_rate=1.0,
        modes=GradientModes(has_dense=name == "TuckER", forward=forward),
    )
    with torch.no_grad():
        scorer = make_scorer(engine, engine.prepare(case.test, batch_size=8), EachItsOwn(num_answers=len(case.test)))
        found = operators(scorer, case)
    assert "aten::embedding" in found
    assert not found & WAITING
