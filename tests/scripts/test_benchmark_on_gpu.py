"""Benchmarks on a GPU that the CPU plays: what is measured, and how its profile is read."""

import importlib

import pytest
from benchmarks import gpu
from benchmarks.processes import Measured
from benchmarks.workloads import SyntheticGraph
from doubles.gpu import PEAK_BYTES, Profile, event, gpu_on_this_cpu
from tiny_benchmark import measured_section, required


@pytest.fixture
def gpu_stand_in(monkeypatch):
    """Measure on a GPU that the CPU plays; commands in processes of their own are not started."""
    monkeypatch.setattr(gpu, "profile", Profile)
    commands = []

    def run_nothing(words: list[str]) -> Measured:
        commands.append(words)
        return Measured(seconds=1, peak_bytes=1, peak_first_bytes=1, peak_others_bytes=0, memory_kind="PSS", output="")

    monkeypatch.setattr(importlib.import_module("benchmarks.bench_losses"), "run_measured", run_nothing)
    with gpu_on_this_cpu():
        yield commands


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("section", "run"), [("engine", "engine.t1024"), ("losses", "losses.slcwa.t1"), ("models", "models.rotate.t16")]
)
def test_a_section_on_a_gpu_states_how_busy_it_is_and_what_the_plan_counts(gpu_stand_in, tmp_path, section, run):
    found = measured_section(section, tmp_path, repeats=1, device="cuda")
    figures = {figure.name: figure.median for figure in found.figures}
    assert required(section, "cuda") <= set(figures)
    assert 0 < figures[f"{run}.busy"] < 1
    assert figures[f"{run}.device_peak"] == PEAK_BYTES / 2**20
    assert figures[f"{run}.plan_per_peak"] == pytest.approx(figures[f"{run}.planned"] * 2**20 / PEAK_BYTES)
    on_gpu = [words for words in gpu_stand_in if words[1] == "run"]
    assert all(words[words.index("--device") + 1] == "cuda" for words in on_gpu)
    assert len(on_gpu) == (2 if section == "losses" else 0)


@pytest.mark.usefixtures("alone", "gpu_stand_in")
def test_the_section_train_on_a_gpu_states_its_speed_and_how_busy_it_is(tmp_path):
    found = measured_section("train", tmp_path, repeats=1, device="cuda")
    figures = {figure.name: figure.median for figure in found.figures}
    for name in ("train.b256", "train.b2048", "train.ranks"):
        assert figures[f"{name}.triples_per_second"] > 0
        assert 0 < figures[f"{name}.busy"] < 1
    assert figures["train.b256.graph"] > 0


def test_overlapping_kernels_count_once_and_copies_and_the_host_do_not():
    host = event("aten::mm", 0, 90, device=gpu.DeviceType.CPU)
    kernels = [event("second", 5, 20), event("first", 0, 10), event("within", 6, 8), event("late", 30, 40)]
    assert gpu.kernel_seconds([host, event("Memset (Device)", 50, 60), *kernels]) == pytest.approx(30e-6)


@pytest.mark.usefixtures("alone")
def test_every_measured_command_runs_on_the_chosen_device(tmp_path):
    (tmp_path / "test.txt").write_text("a\tb\tc\n")
    graph, kinds = SyntheticGraph(folder=tmp_path), importlib.import_module("benchmarks.bench_robokop").KINDS
    commands = [kind.command(graph, tmp_path / "x.zarr", tmp_path, "cuda") for kind in kinds]
    assert [words[words.index("--device") + 1] for words in commands] == ["cuda"] * 3
