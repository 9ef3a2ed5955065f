"""Where any model's influences are divided by lengths, whole gradients give both, and agree with plain autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from influence.agreement import LEARNING_RATE, ROUNDING, TEST, TRAIN
from influence.any_model import TailsBilinear, face, truth_of
from influence.calls import Calls
from influence.indexed import parts, self_influence
from influence.live_bytes import LiveBytes
from influence.test_all_tails import LOSSES, model_of, sides
from influence.tiled import set_tiling, tile, tile_as_on_a_gpu

from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.kind import KIND
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.cost import Computing, Workload
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll
from tracin_dask.influence.normalised import NormalisedScorer
from tracin_dask.influence.preconditioners.blocks import BlockPreconditioner, Blocks
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.tiling import ON_CPU, ON_GPU
from tracin_dask.models.whole_model import face_of

MOST_CALLS, ROWS = 300, 240
SMALL = replace(ON_CPU, value_bytes=2**16, gradient_bytes=2**16)
ONE_TO_ALL = LOSSES["one-to-all"]
NUM_TESTS = len(TEST)
SPLIT = {"value_bytes": 1, "gradient_bytes": 1, "rows": 3}


def cost_of(model, loss, *, num_tests=NUM_TESTS, tracked=None, tiling=ON_CPU, divides_by_norms=True):
    config = KIND.config_for(model, loss)
    work = Workload(
        num_triples=ROWS,
        num_heads=10,
        num_pairs=60,
        num_tests=num_tests,
        all_scores=loss in LOSSES.values(),
        num_negatives=getattr(loss, "num_negatives", 0),
    )
    how = Computing(
        work=work,
        tracked=frozenset(tracked or config.parameter_names),
        own_passes=1,
        itemsize=model.dtype.itemsize,
        recompute=False,
        divides_by_norms=divides_by_norms,
        tiling=tiling,
    )
    return KIND.cost(config, how)


def engine_for(model, loss, *, tracked=None, **options):
    cost = cost_of(model, loss, tracked=tracked)
    return GradientEngine(
        model=model,
        tracked=cost.how.tracked,
        loss=loss,
        learning_rate=LEARNING_RATE,
        modes=cost.modes,
        **options,
    )


def scorer_of(engine, test=TEST):
    prepared = prepare_question(engine, Question(), Targets(triples=test.numpy()), batch_size=3)
    return make_scorer(engine, prepared, EachItsOwn(num_answers=len(test)))


def scored(engine):
    with torch.no_grad():
        (part,) = parts(scorer_of(engine), TRAIN.numpy())
    return part.influences / LEARNING_RATE, part.squares.whole / LEARNING_RATE


@pytest.mark.parametrize("sizes", [{}, SPLIT], ids=["whole", "in pieces"])
@pytest.mark.parametrize("name", ["DistMult", "RotatE", "TuckER", "ConvE", "own", "dense"])
def test_influences_and_lengths_of_one_pass_agree_with_autograd_for_every_tensor(name, sizes, monkeypatch):
    tile(monkeypatch, **sizes)
    truth = truth_of(name)
    for tracked in (*([tensor] for tensor in truth.products), list(truth.products)):
        influences, squares = scored(engine_for(face(name), BinaryCrossEntropy(), tracked=tracked))
        expected, bound = truth.together(tracked)
        assert ((influences - expected).abs() <= ROUNDING * bound).all(), tracked
        own = torch.stack([truth.train_norms[tensor] for tensor in tracked]).norm(dim=0).square()
        torch.testing.assert_close(squares, own, rtol=ROUNDING, atol=1e-300)


@pytest.mark.parametrize("sizes", [{}, SPLIT], ids=["whole", "in pieces"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", ["DistMult", "ComplEx", "RotatE", "TuckER", "own"])
def test_influences_and_lengths_under_losses_of_all_tails_agree_with_autograd(name, loss, sizes, monkeypatch):
    tile(monkeypatch, **sizes)
    ours, theirs = sides(name, loss)
    for tracked in (*([tensor] for tensor in ours), list(ours)):
        mine, yours = (torch.cat([side[tensor] for tensor in tracked], dim=1) for side in (ours, theirs))
        influences, squares = scored(engine_for(model_of(name), LOSSES[loss], tracked=tracked))
        bound = mine.norm(dim=1)[:, None] * yours.norm(dim=1)
        assert ((influences - mine @ yours.T).abs() <= ROUNDING * bound).all(), tracked
        torch.testing.assert_close(squares, mine.square().sum(dim=1), rtol=ROUNDING, atol=1e-300)


def test_matrices_of_rows_multiply_whole_gradients_of_all_tails():
    ours, theirs = sides("DistMult", "one-to-all")
    generator = torch.Generator().manual_seed(0)
    tables, expected, squares = {}, 0, 0
    for name, mine in ours.items():
        width = model_of("DistMult").tensors()[name].shape[1]
        number = mine.shape[1] // width
        half = torch.randn(number, width, width, generator=generator, dtype=torch.float64)
        tables[name] = Blocks(ids=torch.arange(number), matrices=half @ half.mT)
        left, right = (side.view(len(side), number, width) for side in (mine, theirs[name]))
        along = torch.einsum("kvw,nkw->nkv", tables[name].matrices, right).flatten(start_dim=1)
        expected = expected + mine @ along.T
        squares = squares + torch.einsum("nkv,kvw,nkw->n", left, tables[name].matrices, left)
    engine = engine_for(model_of("DistMult"), ONE_TO_ALL, preconditioner=BlockPreconditioner(tables=tables))
    influences, found = scored(engine)
    torch.testing.assert_close(influences, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found, squares, rtol=1e-9, atol=1e-300)


def test_lengths_are_made_with_the_products_except_of_sums_over_corrupted_triples():
    for model, loss, is_whole in (
        (face("TuckER"), BinaryCrossEntropy(), True),
        (model_of("TuckER"), ONE_TO_ALL, True),
        (face("TuckER"), SLCWA(num_negatives=2), False),
    ):
        assert cost_of(model, loss).modes.norms is is_whole
        assert not cost_of(model, loss, divides_by_norms=False).modes.norms
    alone = cost_of(face("TuckER"), BinaryCrossEntropy(), divides_by_norms=False)
    assert cost_of(face("TuckER"), BinaryCrossEntropy()).multiply_adds.total < alone.multiply_adds.total


class ByNumber(TailsBilinear):
    """Decides by the ids of a batch what it computes, as long as it scores all tails."""

    def score_tails(self, pairs):
        return super().score_tails(pairs) if int(pairs[0, 0]) >= 0 else pairs


def test_a_model_whose_tails_cannot_be_mapped_is_differentiated_triple_by_triple():
    torch.manual_seed(0)
    plain = face_of(TailsBilinear(17, 4).double())
    torch.manual_seed(0)
    other = face_of(ByNumber(17, 4).double())
    assert plain.config_with_tails().ways.is_mapped
    assert not other.config_with_tails().ways.is_mapped
    assert "one triple after the other" in str(cost_of(other, ONE_TO_ALL).modes)
    for found, expected in zip(
        scored(engine_for(other, ONE_TO_ALL)), scored(engine_for(plain, ONE_TO_ALL)), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
    with torch.no_grad():
        squares = [self_influence(engine_for(model, ONE_TO_ALL), TRAIN) for model in (plain, other)]
    torch.testing.assert_close(*squares, rtol=1e-12, atol=0)


def batch_of(num_heads: int, num_rows: int = ROWS) -> np.ndarray:
    rows = np.arange(num_rows)
    triples = np.stack([rows % num_heads, rows // num_heads % 2, rows * 7 % 230], axis=1)
    triples[: len(TEST)] = TEST.numpy() % [num_heads, 2, 230]
    return triples[np.lexsort(triples.T[::-1])]


@pytest.fixture(scope="module")
def large():
    torch.manual_seed(0)
    return face_of(TailsBilinear(ROWS, 2))


def calls_of(engine, triples, num_tests: int) -> int:
    with torch.no_grad():
        if num_tests == 0:
            with Calls() as calls:
                self_influence(engine, torch.from_numpy(triples))
            return calls.total
        scorer = NormalisedScorer(scorer_of(engine, TEST[:num_tests] % torch.tensor([ROWS, 2, ROWS])), [engine])
        with Calls() as calls:
            assert sum(len(part.rows) for part in parts(scorer, triples)) == len(triples)
    assert not {name for name in calls.numbers if "nonzero" in name or "local_scalar" in name}
    return calls.total


@pytest.mark.parametrize("num_tests", [0, 1, 8])
@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), OneToAll(label_smoothing=0.1)], ids=["bce", "one-to-all"])
def test_calls_of_lengths_follow_neither_the_heads_nor_the_rows(large, loss, num_tests, monkeypatch):
    tile_as_on_a_gpu(monkeypatch)
    engine = engine_for(large, loss)
    work = [batch_of(1), batch_of(5), batch_of(230), batch_of(230, 2 * ROWS)]
    numbers = [calls_of(engine, triples, num_tests) for triples in work]
    assert max(numbers) <= 1.05 * min(numbers), numbers
    assert max(numbers) <= MOST_CALLS
    tile(monkeypatch, **SPLIT)
    assert calls_of(engine, batch_of(5), num_tests) > MOST_CALLS


@pytest.mark.parametrize("tiling", [ON_GPU, SMALL], ids=["large pieces", "small pieces"])
@pytest.mark.parametrize("num_tests", [0, NUM_TESTS])
@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), ONE_TO_ALL], ids=["bce", "one-to-all"])
@pytest.mark.parametrize("name", ["RotatE", "TuckER", "own"])
def test_a_batch_with_lengths_takes_no_more_than_the_counted_bytes(name, loss, num_tests, tiling, monkeypatch):
    set_tiling(monkeypatch, tiling)
    model = model_of(name)
    engine = engine_for(model, loss)
    scorer = scorer_of(engine)
    triples = np.tile(TRAIN.numpy(), (20, 1))
    with torch.no_grad(), LiveBytes() as live:
        if num_tests:
            list(parts(scorer, triples))
        else:
            self_influence(engine, torch.from_numpy(triples))
    cost = cost_of(model, loss, num_tests=num_tests, tiling=tiling)
    planned = cost.how.scoring_bytes(len(triples), cost.batch_bytes)
    assert 0 < live.peak_bytes <= planned
