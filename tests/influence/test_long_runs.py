"""Long runs: only open units enter, or all of them, and the columns that fill up a row change nothing."""

import copy

import pytest
import torch
from influence.agreement import engine_for, random_case, scores

from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.terms import long_runs
from tracin_dask.influence.tensors import laid_out

LONG = Modes(long_run=1)


def test_only_open_units_are_listed():
    is_open = torch.tensor([[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    units = long_runs.open_units(is_open)
    assert units.pair.tolist() == [0, 0, 2]
    assert units.dim.tolist() == [1, 2, 0]
    assert units.place.tolist() == [1, 2, 6]
    assert units.bounds == [(0, 2), (2, 2), (2, 3)]


@pytest.mark.parametrize("modes", [LONG, Modes(), Modes(head_jacobians=True)], ids=str)
def test_pairs_without_an_open_unit_score_what_their_rows_score_alone(modes):
    case = random_case("height")
    model = copy.deepcopy(case.model)  # the case is shared
    with torch.no_grad():
        model.bn2.bias.fill_(-1e6)
    engine = engine_for(model, case.names, modes=modes)
    test = engine.prepare(case.test, batch_size=8)
    assert torch.count_nonzero(test.output.at_bn2) == 0
    assert torch.isfinite(scores(engine, case.train, test)).all()


@pytest.mark.parametrize("modes", [LONG, Modes(), Modes(head_jacobians=True)], ids=str)
@pytest.mark.parametrize("num_tests", [63, 64, 65, 100])
def test_padding_columns_change_no_score(modes, num_tests):
    case = random_case("width")
    engine = engine_for(case.model, case.names, modes=modes)
    some = engine.prepare(case.test, batch_size=8)
    many = engine.prepare(case.test[torch.arange(num_tests) % len(case.test)], batch_size=8)
    found = scores(engine, case.train, many)
    assert found.shape == (len(case.train), num_tests)
    wanted = scores(engine, case.train, some)[:, torch.arange(num_tests) % len(case.test)]
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-13)


def test_rows_of_large_matrices_start_at_multiples_of_64_bytes():
    assert [laid_out(n) for n in (0, 1, 63, 64, 65, 750, 768)] == [0, 1, 63, 64, 80, 752, 768]
