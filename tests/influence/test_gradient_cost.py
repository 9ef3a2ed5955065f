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


def test_the_measured_effort_of_a_score_equals_its_definition(configs):
    assert configs["RotatE"].effort.multiply_adds == 0
    assert configs["TuckER"].effort.multiply_adds == 6 * 4 * 6 + 6 * 6  # the core with r, then h
    features = 3 * (6 - 2) * (4 - 2)
    assert configs["ConvE"].effort.multiply_adds == 9 * features + 12 * features


def test_few_test_triples_use_forward_mode_and_many_use_gradients_of_each_triple(configs):
    for name in ("TuckER", "ConvE"):
        tracked = frozenset(configs[name].parameter_names)
        ways = [
            gradient_cost.choose_modes(configs[name], replace(WORK, num_tests=number), tracked)
            for number in (1, 100_000, 0)
        ]
        assert ways == [FORWARD, EACH, EACH]


def test_models_of_tables_only_need_no_dense_gradients(configs):
    tracked = frozenset({"entity_representations.0._embeddings.weight"})
    for config in configs.values():
        assert gradient_cost.choose_modes(config, WORK, tracked) == GradientModes()


@pytest.mark.parametrize("modes", [FORWARD, EACH])
def test_counted_work_grows_with_triples_negatives_and_test_triples(configs, modes):
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
