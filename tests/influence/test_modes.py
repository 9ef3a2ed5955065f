"""Every way of computing what passes through the feature map gives the oracle's sums."""

from dataclasses import replace

import pytest
import torch
from conftest import random_model
from influence.agreement import (
    DIALECTS,
    TEST,
    TRAIN,
    case_of,
    check_scores,
    engine_for,
    random_case,
    scores,
)
from influence.test_preconditioner import case as preconditioned_case
from influence.tiled import tile, tile_as_on_a_gpu

from tracin_dask.influence.conve.modes import Modes

WAYS = [
    Modes(),
    Modes(forward=True),
    Modes(head_jacobians=True),
    Modes(long_run=2),
    Modes(head_jacobians=True, long_run=1),
]
ALL_MODES = [replace(modes, relation_table=table) for modes in WAYS for table in (False, True)]
ALL_MODES.append(Modes(norms=True))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_conve_influences_agree_with_the_oracle_in_every_mode(dialect, modes):
    case = random_case(dialect)
    for name in case.names:
        check_scores(case, [name], modes=modes)
    check_scores(case, case.names, modes=modes)


@pytest.mark.parametrize("modes", ALL_MODES[::3], ids=str)
def test_kernels_without_a_region_of_one_image_work_in_every_mode(modes):
    sizes = {"kernel_height": 3, "kernel_width": 7, **DIALECTS["width"]}
    check_scores(case_of(random_model(**sizes)), random_model(**sizes).config.parameter_names, modes=modes)


@pytest.mark.parametrize("chunk_bytes", [1, 20_000])
@pytest.mark.parametrize("modes", [Modes(head_jacobians=True), Modes(long_run=1)], ids=str)
def test_jacobians_in_small_chunks_change_only_rounding(monkeypatch, modes, chunk_bytes):
    tile(monkeypatch, jacobian_bytes=chunk_bytes)
    case = random_case("width")
    check_scores(case, case.names, modes=modes)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_pieces_as_large_as_a_gpu_takes_change_only_rounding(monkeypatch, modes, dialect):
    tile_as_on_a_gpu(monkeypatch)
    case = random_case(dialect)
    check_scores(case, case.names, modes=modes)


@pytest.mark.parametrize("is_preconditioned", [False, True])
@pytest.mark.parametrize("modes", [Modes(forward=True), Modes(forward=True, relation_table=True), Modes()], ids=str)
@pytest.mark.parametrize("move_bytes", [1, 30_000])
def test_test_triples_in_small_pieces_change_only_rounding(monkeypatch, modes, move_bytes, is_preconditioned):
    tile(monkeypatch, move_bytes=move_bytes)
    case = preconditioned_case("width") if is_preconditioned else random_case("width")
    check_scores(case, case.names, modes=modes)


@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_recomputed_activations_and_empty_batches_work_in_every_mode(modes):
    model = random_model()
    kept, again = (engine_for(model, model.config.parameter_names, modes=modes, recompute=r) for r in (False, True))
    prepared = kept.prepare(TEST, batch_size=3)
    assert torch.equal(scores(kept, TRAIN, prepared), scores(again, TRAIN, prepared))
    assert scores(kept, TRAIN[:0], prepared).shape == (0, len(TEST))


@pytest.mark.parametrize("modes", ALL_MODES, ids=str)
def test_rows_in_any_order_get_the_same_influences(modes):
    case = random_case("width")
    order = torch.randperm(len(TRAIN), generator=torch.Generator().manual_seed(0))
    engine = engine_for(case.model, case.names, modes=modes)
    prepared = engine.prepare(TEST, batch_size=8)
    in_order, shuffled = scores(engine, TRAIN, prepared), scores(engine, TRAIN[order], prepared)
    torch.testing.assert_close(shuffled, in_order[order], rtol=1e-11, atol=1e-11)


def test_modes_of_conve_say_what_they_do():
    assert str(Modes()) == "pair product: backward per row"
    assert (
        str(Modes(forward=True, relation_table=True)) == "forward mode: directions per (head, relation), relation table"
    )
    both = "pair product: Jacobians per head, directions for (head, relation) of 9 rows or more"
    assert str(Modes(head_jacobians=True, long_run=9)) == both


@pytest.mark.parametrize(
    "ways",
    [
        {"norms": True, "relation_table": True},
        {"norms": True, "head_jacobians": True},
        {"norms": True, "forward": True},
        {"all_scores": True, "head_jacobians": True},
        {"all_scores": True, "forward": True},
    ],
    ids=", ".join,
)
def test_ways_that_do_not_go_together_are_refused(ways):
    with pytest.raises(ValueError, match="row by row"):
        Modes(**ways)
