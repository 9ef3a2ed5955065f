"""The section calls: what counts as an operator and as a wait, and which way of a GPU is counted on a CPU."""

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from benchmarks.calls import Calls, as_on_a_gpu, counted
from benchmarks.requirements import CALLED
from tiny_benchmark import measured_section, required

from tracin_dask.influence import id_join
from tracin_dask.influence.batch import send
from tracin_dask.influence.conve import folded
from tracin_dask.influence.tiling import ON_CPU, ON_GPU


def calls_of(work) -> Calls:
    with counted() as found:
        work()
    return found


def test_operators_are_counted_without_views_also_within_mapped_derivatives():
    values = torch.rand(3)
    assert calls_of(lambda: values.view(3, 1).T.exp().add_(1)) == Calls(operators=2, waits=0)
    mapped = torch.func.vmap(torch.func.grad(lambda one: one.exp() * 2))
    assert calls_of(lambda: mapped(values)).operators >= 3


WAITS = {
    "item": lambda values: values[0].item(),
    "truth": lambda values: bool(values[0]),
    "nonzero": lambda values: values.nonzero(),
    "unique": lambda values: values.unique(),
    "equal": lambda values: torch.equal(values, values),
    "copy": lambda values: values.cpu(),
    "masked_select": lambda values: values.masked_select(values.bool()),
    "mask": lambda values: values[values.bool()],
    "put at a mask": lambda values: values.index_put_((values.bool(),), torch.ones(3)),
    "repeat": lambda values: torch.repeat_interleave(values.long()),
}


@pytest.mark.parametrize("work", WAITS.values(), ids=WAITS)
def test_what_makes_the_host_wait_is_counted_once(work):
    assert calls_of(lambda: work(torch.ones(3))).waits == 1


def test_the_host_does_not_wait_for_integer_indices_and_known_sizes():
    values, places = torch.ones(3), torch.arange(3)

    def work() -> None:
        values[places] = 2 * values[places]
        torch.repeat_interleave(places, output_size=3)

    assert calls_of(work).waits == 0


def test_a_copy_that_the_host_does_not_wait_for_is_counted():
    values, here = torch.arange(3), torch.device("cpu")
    assert calls_of(lambda: (values.to(here, non_blocking=True), values.to(torch.int32))).copies == 1
    assert calls_of(lambda: send(np.arange(3), here)).copies == 1


def test_every_module_takes_the_way_of_a_gpu_within_the_context_only():
    here = torch.device("cpu")
    with as_on_a_gpu():
        assert [module.tiling_of(here) for module in (folded, id_join)] == [ON_GPU, ON_GPU]
    assert [module.tiling_of(here) for module in (folded, id_join)] == [ON_CPU, ON_CPU]


def test_every_question_about_a_device_is_answered_in_the_package_alone(monkeypatch):
    asking, other = ModuleType("tracin_dask.asking"), ModuleType("other")
    for module in (asking, other):
        module.computes_ahead = lambda device: device.type != "cpu"
        monkeypatch.setitem(sys.modules, module.__name__, module)
    with as_on_a_gpu():
        assert [module.computes_ahead(torch.device("cpu")) for module in (asking, other)] == [True, False]


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_the_calls_section_counts_every_way_of_computing(tmp_path):
    section = measured_section("calls", tmp_path)
    figures = {figure.name: figure.median for figure in section.figures}
    assert set(figures) == required("calls")
    assert tuple(importlib.import_module("benchmarks.bench_calls").WAYS) == CALLED
    assert all(figures[f"calls.{name}.one_head"] > 40 for name in CALLED)
    assert figures["calls.cosine.one_head"] > 1.2 * figures["calls.rows.one_head"]
    found = {name: section.facts[f"measure_calls[{name}]"]["modes"] for name in CALLED}
    assert len({found[name] for name in ("forward", "rows", "heads", "one_to_all", "tucker")}) == 5
    assert found["bce_t1"].startswith("forward mode")
