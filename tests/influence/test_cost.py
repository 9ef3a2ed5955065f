"""The bytes and multiply-adds that a plan states are those that scoring takes."""

import itertools
from dataclasses import replace

import pytest
import torch
from conftest import random_model
from influence.agreement import engine_for, scores, trained_scale_model
from influence.indexed import parts
from influence.live_bytes import LiveBytes
from influence.tiled import tile_as_on_a_gpu
from torch.utils.flop_counter import FlopCounterMode

from tracin_dask.influence.conve import cost
from tracin_dask.influence.conve.batch_memory import batch_bytes, index_bytes
from tracin_dask.influence.conve.folded import fold, model_bytes
from tracin_dask.influence.conve.jacobians import relation_table
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.norm_cost import norm_bytes, norm_index_bytes
from tracin_dask.influence.conve.scorer import Scorer
from tracin_dask.influence.cost import Keys, Storage, Workload
from tracin_dask.influence.losses import OneToAll
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.tensors import num_bytes
from tracin_dask.influence.tiling import ON_GPU
from tracin_dask.models.conve.model import ConvEConfig

BATCH = 64
FLOAT32 = 4
STORAGE = Storage(itemsize=FLOAT32)
# All heads and all relations differ: nothing can be shared, which is what the estimates assume.
ALL_DISTINCT = torch.stack([torch.arange(BATCH), torch.arange(BATCH), torch.arange(BATCH) + 1], dim=1)
OTHER_MODES = [
    Modes(forward=True, relation_table=True),
    Modes(head_jacobians=True, relation_table=True),
    Modes(head_jacobians=True, relation_table=True, long_run=1),
    Modes(all_scores=True),
    Modes(all_scores=True, relation_table=True),
]
SIZES = [
    pytest.param(dim, height, stacking, id=f"{dim} {stacking}")
    for (dim, height), stacking in itertools.product([(32, 8), (200, 10)], ["width", "height"])
]


def float32_model(dim, height, stacking):
    return trained_scale_model(dim, height, stacking=stacking, num_relations=BATCH).float()


def full_engine(model, **options):
    if "modes" in options and options["modes"].all_scores:
        options["loss"] = OneToAll()
    return engine_for(model, model.config.parameter_names, **options)


def jacobian_bytes(engine) -> int:
    """Count the maps to the tracked gradients put side by side: as large for any batch, kept within model_bytes."""
    return FLOAT32 * engine.jacobian().numel()


def peak_of(work) -> int:
    with LiveBytes() as live:
        work()
    return live.peak_bytes


def test_live_bytes_follow_tensors_until_they_are_freed():
    before = torch.ones(1000)

    def work():
        first = before + 1  # 4,000 bytes
        second = first.view(10, 100) * 2  # 8,000 with the first; a view takes nothing
        second += 1
        del first
        return (second.sum() + before[:5]).add_(1)

    assert peak_of(work) == 8000


def scoring_peak(engine, test, triples=ALL_DISTINCT) -> int:
    """Measure the scoring of one batch, when the test triples' side is laid out."""
    scorer = Scorer(engine, test)
    return peak_of(lambda: [part.influences for part in parts(scorer, triples.numpy())])


def workload(num_tests: int, **sizes) -> Workload:
    """Describe one batch in which nothing can be shared."""
    return Workload(num_triples=BATCH, num_heads=BATCH, num_pairs=BATCH, num_tests=num_tests, **sizes)


def estimated(model, num_tests, modes, storage=STORAGE, **sizes) -> int:
    work = workload(num_tests, all_scores=modes.all_scores, **sizes)
    return sum(of(model.config, Keys.all_distinct(BATCH), work, modes, storage) for of in (batch_bytes, index_bytes))


def estimated_norms(model, modes, storage=STORAGE, **sizes) -> int:
    work = workload(0, all_scores=modes.all_scores, **sizes)
    return sum(of(model.config, Keys.all_distinct(BATCH), work, storage) for of in (norm_bytes, norm_index_bytes))


@pytest.mark.parametrize("num_tests", [1, 64, 1024])
@pytest.mark.parametrize(("dim", "height", "stacking"), SIZES)
def test_a_conve_batch_takes_about_the_estimated_bytes_at_most(dim, height, stacking, num_tests):
    model = float32_model(dim, height, stacking)
    test = full_engine(model).prepare(ALL_DISTINCT[:1].expand(num_tests, -1), batch_size=BATCH)
    peaks = []
    for recompute in (False, True):
        engine = full_engine(model, recompute=recompute)
        storage = replace(STORAGE, recompute=recompute)
        estimate, alone = estimated(model, num_tests, Modes(), storage), estimated_norms(model, Modes(), storage)
        peaks.append(scoring_peak(engine, test))
        own = peak_of(lambda: engine.self_influence(ALL_DISTINCT))  # noqa: B023 - called at once
        # with more test triples than rows, vectors of theirs that may meet a relation's rows outweigh the batch
        assert peaks[-1] <= estimate <= (2.8 if num_tests > BATCH else 1.7) * peaks[-1]
        assert own <= alone <= 1.3 * own
    assert peaks[1] < 0.9 * peaks[0]


@pytest.mark.parametrize(
    ("modes", "num_tests"),
    [(modes, n) for modes in OTHER_MODES for n in ((1, 16) if modes.forward else (1, 256))],
    ids=str,
)
@pytest.mark.parametrize(("dim", "height", "stacking"), SIZES)
def test_a_conve_batch_takes_at_most_the_estimated_bytes_in_other_modes(dim, height, stacking, modes, num_tests):
    model = float32_model(dim, height, stacking)
    engine = full_engine(model, modes=modes)
    test = engine.prepare(ALL_DISTINCT[:1].expand(num_tests, -1), batch_size=BATCH)
    assert scoring_peak(engine, test) <= estimated(model, num_tests, modes)


@pytest.mark.parametrize("num_tests", [1, 64])
@pytest.mark.parametrize(("dim", "height", "stacking"), SIZES)
def test_moves_along_all_gradients_at_once_take_about_the_estimated_bytes_at_most(
    dim, height, stacking, num_tests, monkeypatch
):
    tile_as_on_a_gpu(monkeypatch)
    model, modes = float32_model(dim, height, stacking), Modes(forward=True)
    of_one_relation = torch.stack(
        [ALL_DISTINCT[:, 0], torch.zeros(BATCH, dtype=torch.int64), ALL_DISTINCT[:, 2]], dim=1
    )
    for recompute in (False, True):
        engine = full_engine(model, modes=modes, recompute=recompute)
        test = engine.prepare(of_one_relation[:1].expand(num_tests, -1), batch_size=BATCH)
        storage = Storage(itemsize=FLOAT32, recompute=recompute, tiling=ON_GPU)
        estimate = estimated(model, num_tests, modes, storage)
        peak = scoring_peak(engine, test)
        assert max(peak, scoring_peak(engine, test, of_one_relation)) <= estimate <= 1.6 * peak


@pytest.mark.parametrize("num_tests", [1, 64])
@pytest.mark.parametrize(("dim", "height", "stacking"), SIZES)
def test_prepared_test_triples_take_the_bytes_that_were_estimated(dim, height, stacking, num_tests):
    engine = full_engine(float32_model(dim, height, stacking))
    made = []
    peak = peak_of(lambda: made.append(engine.prepare(ALL_DISTINCT[:num_tests], batch_size=BATCH)))
    estimate = cost.prepared_bytes(engine.model.config, num_tests, FLOAT32)
    assert num_bytes(made[0]) == estimate
    assert peak <= estimated_norms(engine.model, Modes()) + 2 * estimate  # the parts, and the whole they are joined to


@pytest.mark.parametrize("num_tests", [1, 256])
@pytest.mark.parametrize("modes", [*OTHER_MODES, Modes(), Modes(relation_table=True)], ids=str)
@pytest.mark.parametrize(("dim", "height", "stacking"), SIZES)
def test_laying_out_test_triples_takes_no_more_than_estimated(dim, height, stacking, modes, num_tests):
    model = float32_model(dim, height, stacking)
    bare = full_engine(model, modes=replace(modes, relation_table=False))
    test = bare.prepare(ALL_DISTINCT[:1].expand(num_tests, -1), batch_size=BATCH)
    kept = []

    def work():
        table = relation_table(bare.model, Precision.FULL) if modes.relation_table else None
        kept.append(Scorer(replace(bare, modes=modes, relations=table), test))

    assert peak_of(work) <= cost.layout_bytes(model.config, num_tests, FLOAT32, modes) + jacobian_bytes(bare)


@pytest.mark.parametrize("channels", [4, 32, 64])
@pytest.mark.parametrize(("dim", "height", "stacking"), SIZES)
def test_folding_a_model_takes_no_more_than_estimated_and_not_much_less(dim, height, stacking, channels):
    model = trained_scale_model(dim, height, stacking=stacking, output_channels=channels).float()
    checkpoint = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    taken = checkpoint + peak_of(lambda: fold(model))
    assert taken <= 1.05 * model_bytes(model.config, FLOAT32)  # biases and statistics are left out
    assert model_bytes(model.config, FLOAT32) <= 1.5 * taken


@pytest.mark.parametrize("dialect", ["width", "height"])
def test_gradient_checkpointing_changes_no_bit(dialect):
    model = trained_scale_model(32, 8, stacking=dialect).float()
    triples = torch.randint(9, (100, 3), generator=torch.Generator().manual_seed(0))
    results = []
    for recompute in (False, True):
        engine = full_engine(model, recompute=recompute)
        test = engine.prepare(triples[:20], batch_size=7)
        results.append((scores(engine, triples, test), engine.self_influence(triples)))
    for kept, recomputed in zip(*results, strict=True):
        assert torch.equal(kept, recomputed)


# Two 2 × 2 images side by side and one 2 × 2 kernel: 3 positions, 3 features of 4 taps and a constant each.
TINY = ConvEConfig(
    num_entities=5,
    num_relations=3,
    embedding_dim=4,
    embedding_height=2,
    embedding_width=2,
    output_channels=1,
    kernel_height=2,
    kernel_width=2,
)


ALL = frozenset(TINY.parameter_names)
WORK = Workload(num_triples=7, num_heads=2, num_pairs=5, num_tests=2)


def test_conve_multiply_adds_equal_a_count_by_hand():
    counted = cost.multiply_adds(TINY, WORK, ALL, Modes())
    per_region = 4 + 5  # the projection, the convolution
    assert counted.forward == (2 + 5 + 5) * per_region  # of heads, of pairs, and of relations as if by pair
    assert counted.lower == 7 * 3 * per_region
    assert counted.products == 2 * (2 + 5 + 5 + 7 * (3 * 4 + 5))  # features by key; fc, bn2 twice, moments by triple
    assert counted.total == 559


def test_forward_mode_counts_keys_by_test_triple_and_one_product_per_row():
    counted = cost.multiply_adds(TINY, WORK, ALL, Modes(forward=True))
    assert counted.forward == (2 + 5 + 5) * 9
    assert counted.lower == 2 * (2 + 5 + 5) * 9
    assert counted.products == 2 * (2 + 5 + 5 + 7 * 4)


def test_jacobians_count_once_per_head_and_their_use_by_row():
    back, heads = (cost.multiply_adds(TINY, WORK, ALL, Modes(head_jacobians=flag)) for flag in (False, True))
    moments, jacobian = 5, 5 * 4
    assert back.lower - heads.lower == 7 * (9 - (2 * jacobian // 7 + 4 * moments))


@pytest.mark.parametrize(
    ("num_tests", "ways"),
    [(1, {"forward": True}), (16, {"head_jacobians": True}), (256, {"head_jacobians": True})],
)
def test_the_cheapest_modes_of_conve_are_chosen(num_tests, ways):
    model = ConvEConfig(num_entities=14_541, num_relations=237)
    work = Workload(num_triples=272_115, num_heads=13_781, num_pairs=93_372, num_tests=num_tests)
    tracked = frozenset(model.parameter_names)
    chosen = cost.choose_modes(model, work, tracked)
    assert replace(chosen, long_run=None) == Modes(relation_table=True, **ways)
    other = [Modes(forward=True), Modes(), Modes(head_jacobians=True)]
    totals = [cost.multiply_adds(model, work, tracked, replace(way, relation_table=True)).total for way in other]
    assert cost.multiply_adds(model, work, tracked, chosen).total == min(totals)


def test_more_test_triples_make_directions_pay_at_about_as_many_rows_as_moments_have_per_dimension():
    model = ConvEConfig(num_entities=10**6, num_relations=50, embedding_dim=32, embedding_height=8, embedding_width=4)
    work = Workload(num_triples=18 * 10**6, num_heads=1_400_000, num_pairs=3 * 10**6, num_tests=750)
    modes = cost.choose_modes(model, work, frozenset(model.parameter_names))
    assert modes.long_run is not None
    assert 15 <= modes.long_run <= 40  # 32 × 320 for a pair, 416 - 32 for each of its rows
    on_gpu = cost.choose_modes(model, work, frozenset(model.parameter_names), ON_GPU)
    assert on_gpu == replace(modes, long_run=None)  # an operator for each pair makes a GPU wait for the host


def test_no_relation_table_is_made_for_very_many_relations():
    model = ConvEConfig(num_entities=100, num_relations=1_000_000)
    work = Workload(num_triples=10**9, num_heads=100, num_pairs=10**8, num_tests=10)
    assert not cost.choose_modes(model, work, ALL).relation_table


def test_self_influence_and_tensors_after_the_projection_use_no_directions():
    work = Workload(num_triples=7, num_heads=2, num_pairs=5, num_tests=0)
    assert cost.choose_modes(TINY, work, ALL) == Modes()
    assert cost.choose_modes(TINY, replace(work, num_tests=2), frozenset({"fc.weight"})) == Modes()


def test_tensors_after_the_projection_need_no_backward_pass():
    work = Workload(num_triples=7, num_heads=5, num_pairs=5, num_tests=2)
    counted = cost.multiply_adds(TINY, work, frozenset({"fc.weight"}), Modes())
    assert counted.lower == 0
    assert counted.products == 2 * (5 * 3 + 7 * 4)


def flops_of_addmm(_total, left, right, **_options) -> int:
    """Count what torch does not: products that are added in place."""
    return 2 * left[0] * left[1] * right[1]


@pytest.mark.parametrize("num_tests", [1, 3])
@pytest.mark.parametrize(
    "modes",
    [Modes(), Modes(forward=True), Modes(relation_table=True), *(modes for modes in OTHER_MODES if modes.all_scores)],
    ids=str,
)
def test_conve_multiply_adds_equal_those_that_torch_counts(modes, num_tests):
    model = random_model(num_relations=17)
    train = torch.tensor([[0, 0, 1], [2, 1, 3], [4, 2, 5], [6, 3, 7]])
    engine = full_engine(model, modes=modes)
    # No entity or relation in common: the rows of the embedding tables, which follow the matches, cost nothing.
    scorer = Scorer(engine, engine.prepare(torch.tensor([[8, 9, 10]]).repeat(num_tests, 1), batch_size=4))
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops_of_addmm}) as counter:
        scorer.score(train)
    work = Workload(num_triples=4, num_heads=4, num_pairs=4, num_tests=num_tests)
    counted = cost.multiply_adds(model.config, work, engine.tracked, modes)
    elementwise = (
        4 * num_tests * model.config.embedding_dim if modes.forward else 0
    )  # torch counts matrix products only
    assert counter.get_total_flops() == 2 * (counted.total - elementwise)
