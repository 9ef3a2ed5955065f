"""The benchmark suite: judgements, tables, lines, agreement, plots, and the engine's section on a tiny graph."""

import dataclasses
import importlib
import json
import sys
from types import ModuleType

import numpy as np
import pytest
from benchmarks import command, report, tables
from benchmarks.agreement import overlap_of_leaders, ranks, spearman
from benchmarks.commands import stated_seconds
from benchmarks.figures import Collector, Figure
from benchmarks.fit import fit_line
from benchmarks.processes import CommandError, collected_json, run_measured, start
from benchmarks.requirements import REQUIREMENTS, Requirement, judge
from benchmarks.scoring import mixed_is_float32
from benchmarks.settings import GPU_SECTIONS, SECTIONS
from needs import need_packages
from tiny_benchmark import measured, measured_section, required


@pytest.fixture(scope="module")
def plots() -> ModuleType:
    """The module that draws; only the group `bench` installs what it draws with."""
    need_packages("matplotlib")
    return importlib.import_module("benchmarks.plots")


def figure(*values: float, name: str = "engine.t1.ratio", unit: str = "×") -> Figure:
    return Figure(name=name, title="a title", unit=unit, values=values)


def stored(*, device: str = "cpu", is_quick: bool = False, version: int = report.SCHEMA_VERSION) -> dict:
    """Make a report in the stored shape, with every plot's curves and a figure that misses its requirement."""
    collector = Collector()
    collector.figure("engine.t1.triples_per_second", "T = 1: engine", "triples/s", [59_000, 61_000, 62_000])
    collector.figure("engine.t1.loop_triples_per_second", "T = 1: loop", "triples/s", [60, 61, 62])
    collector.figure("engine.t1.ratio", "T = 1: engine / loop", "×", [900, 999, 1_500])
    collector.curve("training_triples", "1 test triple", {1e4: [0.1, 0.2], 1e6: [9, 10], 1e7: [95, 99, 120]})
    collector.curve("workers", "local workers", {1: [70_000], 2: [130_000, 135_000]})
    collector.facts["embedding_dim"] = 200
    speed = {"matrix_product_gflops": 90.0, "copy_gigabytes_per_second": 20.0, "load_average": [0.5, 0.4, 0.3]}
    machine = {"cpu": "a CPU", "cpus": 2, "threads": 2, "torch": "2.13.0", "device": device, "device_name": "a GPU"}
    machine |= {"before": speed, "after": speed | {"matrix_product_gflops": 100.0}}
    entry = {"fullname": "bench_engine.py::measure", "name": "measure", "extra_info": collector.as_dict()}
    contents = report.complete({"benchmarks": [entry]}, settings={"is_quick": is_quick}, machine=machine)
    contents[report.KEY]["schema_version"] = version
    return contents


def sections(**options: object) -> list[report.Section]:
    return report.sections_of(json.loads(json.dumps(stored(**options))))


@pytest.mark.parametrize(
    ("relation", "below", "equal", "above"),
    [("at least", False, True, True), ("at most", True, True, False), ("less than", True, False, False)],
)
def test_a_requirement_compares_the_median_with_its_bound(relation, below, equal, above):
    requirement = Requirement(figure="x", relation=relation, bound=5)
    met = [requirement.is_met(figure(0, median, 100), gflops=1) for median in (4, 5, 6)]
    assert met == [below, equal, above]


def test_a_requirement_per_gflops_grows_with_the_machine():
    requirement = Requirement(figure="x", relation="at least", bound=600, per_gflops=True)
    assert requirement.is_met(figure(60_000), gflops=100)
    assert not requirement.is_met(figure(60_000), gflops=101)
    assert requirement.text(100) == "≥ 600·G = 60,000"


def test_requirements_name_each_figure_once_per_device_and_a_section_that_exists():
    named = [(requirement.device, requirement.figure) for requirement in REQUIREMENTS]
    assert len(set(named)) == len(named)
    for device, sections_of_device in (("cpu", SECTIONS), ("cuda", GPU_SECTIONS)):
        assert {name.partition(".")[0] for one, name in named if one == device} <= set(sections_of_device)


def test_figures_without_a_requirement_are_listed_unjudged():
    wanted = [Requirement(figure="b", relation="at most", bound=1)]
    found = [figure(2, name="a"), figure(2, name="b")]
    verdicts = judge(found, 1, device="cpu", applies=True, requirements=wanted)
    assert [(verdict.required, verdict.met) for verdict in verdicts] == [("", None), ("≤ 1", False)]


def test_two_benchmark_figures_with_one_name_are_refused():
    with pytest.raises(ValueError, match=r"same name: \['a'\]"):
        judge([figure(1, name="a"), figure(2, name="a")], 1, device="cpu", applies=True)


def test_a_requirement_is_judged_only_on_its_device():
    wanted = [
        Requirement(figure="a", relation="at most", bound=3),
        Requirement(figure="a", relation="at most", bound=1, device="cuda"),
        Requirement(figure="b", relation="at most", bound=1, device="cuda"),
    ]
    found = [figure(2, name="a"), figure(2, name="b")]
    on_cpu, on_gpu = (judge(found, 1, device=one, applies=True, requirements=wanted) for one in ("cpu", "cuda"))
    assert [(verdict.required, verdict.met) for verdict in on_cpu] == [("≤ 3", True), ("", None)]
    assert [(verdict.required, verdict.met) for verdict in on_gpu] == [("≤ 1", False), ("≤ 1", False)]


def test_quick_runs_are_not_judged():
    (section,) = sections(is_quick=True)
    assert {verdict.met for verdict in section.verdicts()} == {None}


def test_a_report_of_a_gpu_is_judged_by_what_is_required_of_gpus():
    (section,) = sections(device="cuda")
    assert [(verdict.required, verdict.met) for verdict in section.verdicts()] == [
        ("≥ 6,000,000", False),
        ("", None),
        ("", None),
    ]


def test_the_faster_of_two_machine_measurements_counts():
    (section,) = sections()
    assert section.gflops == 100
    assert [verdict.met for verdict in section.verdicts()] == [True, None, False]


def test_a_later_report_replaces_the_sections_of_an_earlier_one(tmp_path):
    for name, is_quick in (("first", False), ("second", True)):
        (tmp_path / name).write_text(json.dumps(stored(is_quick=is_quick)))
    (section,) = report.read_sections([tmp_path / "first", tmp_path / "second"])
    assert section.is_quick


def test_a_file_that_is_no_report_is_refused(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(stored(version=99)))
    with pytest.raises(report.ReportError, match=r"other\.json is no report of scripts/bench"):
        report.read_sections([path])


def test_markdown_replaces_only_the_text_between_the_marks(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(f"before\n{tables.START}\nold\n{tables.END}\nafter\n")
    for _ in range(2):
        tables.write_markdown(path, sections())
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{tables.END}\nafter\n")
    assert "old" not in text
    assert text.count("| T = 1: engine / loop | 999 (900-1,500) × | ≥ 1,000 | no |") == 1
    assert "G = 100 GFLOP/s" in text


def test_a_page_without_marks_is_refused(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("text")
    with pytest.raises(ValueError, match="needs the lines"):
        tables.write_markdown(path, sections())


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.00012, "0.00012"), (0.99987, "0.9999"), (6.456, "6.46"), (70_432.1, "70,432")]
)
def test_numbers_keep_their_significant_digits(value, text):
    assert tables.number(value) == text


def test_a_single_round_shows_no_spread():
    assert tables.measured(figure(3.0, unit="s")) == "3 s"
    assert tables.measured(figure(1.0, 3.0, 2.0, unit="s")) == "2 (1-3) s"


def test_a_fitted_line_recovers_its_parameters_and_deviation():
    x = [1e6, 2e6, 5e6, 1e7, 2e7]
    line = fit_line(x, [0.5 + 3e-6 * value for value in x])
    assert line.slope == pytest.approx(3e-6)
    assert line.intercept == pytest.approx(0.5)
    assert line.largest_deviation(x, [line.at(value) for value in x]) == 0
    assert line.largest_deviation([1e6], [1.2 * line.at(1e6)]) == pytest.approx(0.2)


@pytest.mark.parametrize(("x", "y"), [([1, 1], [2, 3]), ([1, 2], [0, 3])])
def test_fitting_a_line_through_too_few_points_is_refused(x, y):
    with pytest.raises(ValueError, match=r"needs two different x|need positive y"):
        fit_line(x, y)


def slow_ranks(values: np.ndarray) -> list[float]:
    """Rank each value by counting."""
    return [(values < value).sum() + ((values == value).sum() + 1) / 2 for value in values]


def test_ranks_and_spearman_agree_with_counting_also_with_ties():
    random = np.random.default_rng(0)
    left, right = random.integers(0, 12, 50).astype(float), random.integers(0, 12, 50).astype(float)
    assert ranks(left).tolist() == slow_ranks(left)
    expected = np.corrcoef(slow_ranks(left), slow_ranks(right))[0, 1]
    assert spearman(left, right) == pytest.approx(expected)
    assert spearman(left, np.exp(left)) == pytest.approx(1)
    assert spearman(left, -left) == pytest.approx(-1)


def test_a_constant_vector_has_no_rank_correlation():
    with pytest.raises(ValueError, match="constant"):
        spearman(np.ones(3), np.arange(3.0))


def test_top_overlap_compares_by_absolute_size():
    left = np.array([9.0, -8.0, 7.0, 0.1, 0.2])
    assert overlap_of_leaders(left, -left, 3) == 1
    assert overlap_of_leaders(left, np.array([9.0, 0.0, 0.0, 5.0, 6.0]), 3) == pytest.approx(1 / 3)
    assert overlap_of_leaders(left, left, 100) == 1


def test_seconds_of_a_result_are_found_at_any_depth(tmp_path):
    path = tmp_path / "why.json"
    path.write_text(json.dumps({"run": {"seconds": 3, "loss": "bce", "stage_seconds": {"read": 1.5}, "rows": 7}}))
    assert stated_seconds(path) == {"seconds": 3, "stage_seconds.read": 1.5}


def test_measured_memory_includes_child_processes():
    hold = "import time; block = bytearray(80_000_000); time.sleep(1.2)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}], check=True)"
    measured = run_measured([sys.executable, "-c", parent])
    assert measured.seconds > 1
    assert measured.peak_others_bytes > 70_000_000
    assert measured.peak_bytes >= measured.peak_others_bytes
    assert measured.peak_first_bytes < 70_000_000


def test_a_failing_command_is_shown_with_its_output():
    with pytest.raises(CommandError, match=r"exit code 3 of .*\n.*broken"):
        run_measured([sys.executable, "-c", "import sys; print('broken'); sys.exit(3)"])
    with pytest.raises(CommandError, match="exit code 3"):
        collected_json([start([sys.executable, "-c", "import sys; sys.exit(3)"])])


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_plots_show_the_measured_figures(plots, tmp_path, kind):
    written = plots.draw_all(sections(), tmp_path, kind=kind)
    names = {f"benchmark-{name}.{kind}" for name in ("training-triples", "test-triples", "workers", "speed")}
    assert {path.name for path in written} == names
    assert all(path.stat().st_size > 5_000 for path in written)


def test_plots_of_equal_figures_are_equal_files(plots, tmp_path):
    first, second = (plots.draw_all(sections(), tmp_path / name) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_speeds_of_peers_are_found_by_their_figures_names(plots):
    section = dataclasses.replace(
        sections()[0],
        figures=(figure(5, name="peers.t16.torch.func.triples_per_second"), figure(1, name="peers.t16.x")),
    )
    assert {who: list(by_number) for who, by_number in plots.speeds([section]).items()} == {"torch.func": [16]}


@pytest.mark.parametrize(
    ("value", "text"), [(0.05, "0.05"), (31, "31"), (2_400, "2,400"), (70_000, "70 k"), (18_602_343, "18.6 M")]
)
def test_plot_axes_have_short_numbers(plots, value, text):
    assert plots.short_number(value) == text


def test_help_names_every_section_and_asks_for_gpu_figures():
    text = command.parser().format_help()
    assert all(f"  {name} " in text for name in SECTIONS)
    assert "Please send that file in" in text


def test_cuda_measures_by_default_the_sections_that_a_gpu_has(tmp_path):
    settings = [command.settings_of(command.parser().parse_args(words), tmp_path) for words in ([], ["--device=cuda"])]
    assert [one.sections for one in settings] == [tuple(SECTIONS), ("engine", "losses", "models", "train", "robokop")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["engines"], "no section engines; there are: engine"),
        (
            ["--device", "cuda", "robokop", "dask"],
            "--device cuda measures the sections engine, losses, models, train, robokop; leave dask out",
        ),
    ],
)
def test_benchmarks_refuse_invalid_options(words, message, capsys):
    assert command.main(words) == 1
    assert message in capsys.readouterr().err


def test_without_a_gpu_cuda_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(command.torch.cuda, "is_available", lambda: False)
    assert command.main(["--device", "cuda"]) == 1
    assert "finds no GPU; install a PyTorch with CUDA" in capsys.readouterr().err


@pytest.mark.usefixtures("plots")
def test_a_stored_report_is_shown_and_drawn_again(tmp_path, capsys):
    (tmp_path / "bench.json").write_text(json.dumps(stored()))
    page = tmp_path / "page.md"
    page.write_text(f"{tables.START}\n{tables.END}\n")
    places = ["--plots", str(tmp_path / "plots"), "--markdown", str(page)]
    assert command.main(["--report", str(tmp_path / "bench.json"), *places]) == 0
    assert "999 (900-1,500) ×" in capsys.readouterr().out
    assert (tmp_path / "plots" / "benchmark-speed.svg").exists()
    assert "![benchmark speed](plots/benchmark-speed.svg)" in page.read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("alone")
def test_the_losses_section_measures_a_tiny_graph(tmp_path):
    section = measured_section("losses", tmp_path, repeats=1)
    figures = {figure.name for figure in section.figures}
    assert required("losses") <= figures
    assert {"losses.slcwa.t1.times_bce", "losses.one-to-all.t1.times_bce"} <= figures


@pytest.mark.usefixtures("alone")
def test_the_train_section_measures_a_tiny_graph_and_counts_what_is_required(tmp_path):
    section = measured_section("train", tmp_path, repeats=1)
    figures = {figure.name: figure for figure in section.figures}
    assert {"train.b256.steps_per_second", "train.ranks.triples_per_second"} <= set(figures)
    counted = {name for name in figures if name.startswith("train.calls.")}
    assert counted == required("train")
    for one in REQUIREMENTS:
        if one.figure in counted:
            assert one.is_met(figures[one.figure], gflops=1), one.figure


@pytest.mark.usefixtures("alone")
def test_the_models_section_measures_a_tiny_graph(tmp_path):
    section = measured_section("models", tmp_path, repeats=1)
    figures = {figure.name for figure in section.figures}
    assert {f"models.{name}.t{t}.ratio" for name in ("distmult", "rotate", "tucker") for t in (1, 16)} <= figures


@pytest.mark.usefixtures("alone")
def test_the_engine_section_measures_a_tiny_graph(tmp_path):
    contents = measured("engine", tmp_path)
    (section,) = report.sections_of(json.loads(json.dumps(contents)))
    figures = {figure.name: figure for figure in section.figures}
    wanted = required("engine")
    if mixed_is_float32("cpu"):
        wanted = {name for name in wanted if not name.endswith((".mixed.ratio", ".mixed.overlap"))}
    assert wanted <= set(figures)
    assert len(figures["engine.t16.ratio"].values) == 2
    assert all(figure.median > 0 for figure in section.figures)
    assert figures["engine.t1.mixed.spearman"].median > 0.99
    assert len(contents["benchmarks"]) == (5 if mixed_is_float32("cpu") else 8)
