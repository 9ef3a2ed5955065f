"""The way of any model is chosen by counted multiply-adds, and what is counted follows what is done."""

from dataclasses import replace

import pytest
from influence.any_model import face

from tracin_dask.influence.autograd import cost as gradient_cost
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.cost import Workload

WORK = Workload(num_triples=1_000, num_heads=17, num_pairs=60, num_tests=1)
FORWARD, EACH = (GradientModes(has_dense=True, forward=forward) for forward in (True, False))


@pytest.fixture(scope="module")
def configs():
    return {name: face(name).config for name in ("RotatE", "TuckER", "ConvE")}


def test_a_score_is_measured_as_it_is_defined(configs):
    assert configs["RotatE"].effort.multiply_adds == 0
    assert configs["TuckER"].effort.multiply_adds == 6 * 4 * 6 + 6 * 6  # the core with r, then h
    features = 3 * (6 - 2) * (4 - 2)
    assert configs["ConvE"].effort.multiply_adds == 9 * features + 12 * features


def test_few_test_triples_move_scores_and_many_take_gradients_of_each(configs):
    for name in ("TuckER", "ConvE"):
        tracked = frozenset(configs[name].parameter_names)
        ways = [
            gradient_cost.choose_modes(configs[name], replace(WORK, num_tests=number), tracked)
            for number in (1, 100_000, 0)
        ]
        assert ways == [FORWARD, EACH, EACH]


def test_rows_alone_need_neither(configs):
    tracked = frozenset({"entity_representations.0._embeddings.weight"})
    for config in configs.values():
        assert gradient_cost.choose_modes(config, WORK, tracked) == GradientModes()


@pytest.mark.parametrize("modes", [FORWARD, EACH])
def test_work_grows_with_triples_negatives_and_test_triples(configs, modes):
    config = configs["TuckER"]
    tracked = frozenset(config.parameter_names)

    def total(**sizes):
        return gradient_cost.multiply_adds(config, replace(WORK, **sizes), tracked, modes).total

    assert total(num_triples=2_000) == pytest.approx(2 * total(), rel=1e-3)
    assert total(num_negatives=3) == pytest.approx(4 * total(), rel=1e-3)
    assert total(num_tests=50) > total()
    assert total(num_tests=0) > 0
    lengths = [
        gradient_cost.own_multiply_adds(config, replace(WORK, num_negatives=number), tracked).total for number in (0, 3)
    ]
    assert 0 < 4 * lengths[0] < lengths[1]  # all of a triple's gradients meet each other
