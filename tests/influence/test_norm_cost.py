"""The bytes and multiply-adds that a plan states for the training triples' norms are those that they take."""

import pytest
import torch
from influence.agreement import engine_for
from influence.indexed import training_lengths
from influence.test_cost import ALL_DISTINCT, BATCH, FLOAT32, float32_model, flops_of_addmm, peak_of
from torch.utils.flop_counter import FlopCounterMode

from tracin_dask.influence.conve.norm_cost import norm_bytes, norm_index_bytes, norm_multiply_adds
from tracin_dask.influence.cost import Keys, Storage, Workload
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll

LOSSES = [BinaryCrossEntropy(), OneToAll(), SLCWA(), SLCWA(num_negatives=3)]


@pytest.fixture(params=[(32, 8, "width"), (200, 10, "height")], ids=["32", "200"])
def model(request):
    return float32_model(*request.param)


@pytest.fixture(params=["all", "fc"])
def tracked(request, model) -> frozenset[str]:
    return frozenset(model.config.parameter_names if request.param == "all" else ("fc.weight", "fc.bias"))


def workload_of(loss) -> Workload:
    negatives = loss.num_negatives if isinstance(loss, SLCWA) else 0
    sizes = {"num_triples": BATCH, "num_heads": BATCH, "num_pairs": BATCH, "num_negatives": negatives}
    return Workload(num_tests=0, all_scores=isinstance(loss, OneToAll), **sizes)


@pytest.mark.parametrize("loss", LOSSES, ids=["bce", "one-to-all", "slcwa", "slcwa with 3"])
def test_norms_take_about_the_counted_multiply_adds(model, tracked, loss):
    engine, work = engine_for(model, tracked, loss=loss), workload_of(loss)
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: flops_of_addmm})
    with torch.no_grad(), counter:
        training_lengths([engine], ALL_DISTINCT.numpy())
    counted = norm_multiply_adds(model.config, work, tracked).total
    assert 0.8 < counter.get_total_flops() / 2 / counted < 1.25


@pytest.mark.parametrize("loss", LOSSES, ids=["bce", "one-to-all", "slcwa", "slcwa with 3"])
def test_norms_take_about_the_estimated_bytes_at_most(model, tracked, loss):
    engine = engine_for(model, tracked, loss=loss)
    with torch.no_grad():
        peak = peak_of(lambda: training_lengths([engine], ALL_DISTINCT.numpy()))
    sizes = (model.config, Keys.all_distinct(BATCH), workload_of(loss), Storage(itemsize=FLOAT32))
    estimate = norm_bytes(*sizes) + norm_index_bytes(*sizes)
    assert peak <= estimate <= 2.2 * peak
