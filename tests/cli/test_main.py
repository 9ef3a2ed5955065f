"""The `tracin-dask` command: fast help, short errors and readable help texts."""

import re
import subprocess
import sys
from typing import get_args

import click.testing
import pytest

from tracin_dask.cli.main import COMMANDS, group, main
from tracin_dask.cli.options.sections import SECTIONS
from tracin_dask.influence.columns import Explain
from tracin_dask.influence.normalised import Normalize
from tracin_dask.influence.precision import PrecisionName
from tracin_dask.influence.preconditioners.registry import METHODS, NONE
from tracin_dask.influence.reductions.topk import RankBy
from tracin_dask.models.conve.dialects import DIALECTS
from tracin_dask.runs.options.computing import Device
from tracin_dask.runs.options.question import Mode

KNOWN_FLAGS = (
    *("--model-path", "--train", "--test-triple", "--entity-to-id", "--relation-to-id", "--output", "--learning-rate"),
    *("--top-k", "--batch-size", "--device", "--use-mixed-precision", "--use-gradient-checkpointing", "--mode"),
    *("--no-cache-test-gradients", "--use-last-layers-only", "--num-last-layers"),
)
NEW_FLAGS = (
    *("--test", "--output-dir", "--rank-by", "--workers", "--threads-per-worker", "--cluster", "--parameters"),
    *("--learning-rate-schedule", "--checkpoint-contributions"),
)


def help_of(*words, width=80):
    result = click.testing.CliRunner().invoke(group, [*words, "--help"], terminal_width=width)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("command", [None, "run", "plan", "train", "ingest", "convert"])
def test_help_loads_none_of_the_large_libraries(command):
    words = ["--help"] if command is None else [command, "--help"]
    slow = ["torch", "distributed", "dask", "pyarrow", "zarr", "numpy"]
    script = (
        f"import sys; from tracin_dask.cli.main import main; sys.argv = ['tracin-dask', *{words}]\n"
        "try: main()\n"
        f"finally: print('loaded:', [name for name in {slow} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("loaded: []\n")


def test_help_names_all_commands():
    assert [name for name in COMMANDS if f"  {name} " not in help_of()] == []


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--mode", get_args(Mode)),
        ("--explain", get_args(Explain)),
        ("--normalize", get_args(Normalize)),
        ("--preconditioner", (NONE, *METHODS)),
        ("--rank-by", get_args(RankBy)),
        ("--device", get_args(Device)),
        ("--precision", set(get_args(PrecisionName)) - {"mixed"}),
        ("--to", set(DIALECTS)),
    ],
)
def test_options_offer_the_values_that_the_library_knows(option, values):
    for name in ("convert",) if option == "--to" else ("run", "plan"):
        command = group.get_command(click.Context(group), name)
        (found,) = (parameter for parameter in command.params if option in parameter.opts)
        assert set(found.type.choices) == set(values)


def test_a_refusal_is_one_message_and_exit_code_1(project, tmp_path):
    words = ["run", *project.options(), "--output", str(tmp_path / "a.json")]
    done = subprocess.run(
        [sys.executable, "-c", "from tracin_dask.cli.main import main; main()", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: say what to explain: --test-triple H R T, --test FILE, or --mode self\n"


def test_ctrl_c_prints_no_traceback(project, monkeypatch, capsys):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("tracin_dask.runs.execute.in_process.score_rows", interrupt)
    words = ["run", *project.options(), "--mode", "self", "--output", str(project.folder / "never.json")]
    monkeypatch.setattr("sys.argv", ["tracin-dask", *words])
    with pytest.raises(SystemExit, match="130"):
        main()
    *_, last = capsys.readouterr().err.splitlines()
    assert last == "stopped; nothing is kept: the same command starts from the beginning"
    assert not (project.folder / "never.json").exists()


@pytest.mark.parametrize("name", ["run", "plan", "train", "ingest", "convert", "submit"])
def test_a_command_without_options_prints_its_help(name):
    done = click.testing.CliRunner().invoke(group, [name])
    assert done.exit_code == 2
    assert done.output.startswith("Usage: ")
    assert "Options:" in done.output or "Model:" in done.output


def test_an_unknown_command_is_refused_with_the_usage(refused):
    assert "No such command 'explain'" in refused("explain")


def test_a_mistyped_command_is_answered_with_the_nearest_name(refused):
    assert "No such command 'rum'. Did you mean 'run'?" in refused("rum")


@pytest.mark.parametrize(
    ("words", "long"),
    [
        *((name, "--output") for name in ("ingest", "split", "run", "predict", "paths", "convert", "cluster init")),
        *((name, "--output-dir") for name in ("train", "validate stability", "report", "evaluate")),
    ],
)
def test_o_is_the_short_form_of_the_option_that_says_where_to_write(words, long):
    assert f"  -o, {long} " in help_of(*words.split())


def test_run_has_every_flag_of_the_existing_tool():
    flags = set(re.findall(r"--[a-z][a-z-]+", help_of("run")))
    assert {*KNOWN_FLAGS, *NEW_FLAGS} - flags == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name):
    command = group.get_command(click.Context(group), name)
    assert [option.name for option in command.params if isinstance(option, click.Option) and not option.help] == []


@pytest.mark.parametrize("name", ["run", "plan"])
def test_every_option_is_in_a_section_of_the_help(name):
    command = group.get_command(click.Context(group), name)
    assert [option.name for option in command.params if getattr(option, "section", None) not in SECTIONS] == []
    titles = [line.removesuffix(":") for line in help_of(name).splitlines() if re.fullmatch(r"[A-Z][a-z]+:", line)]
    assert titles == [*SECTIONS, "Help"]


@pytest.mark.parametrize("name", ["run", "plan"])
@pytest.mark.parametrize("width", [80, 100])
def test_no_line_of_the_help_is_wider_than_the_terminal(name, width):
    assert [line for line in help_of(name, width=width).splitlines() if len(line) > width] == []


def test_run_help_explains_the_sign_and_shows_examples():
    text = " ".join(help_of("run").split())
    assert "Positive: it speaks for the prediction." in text
    assert "--test-triple aspirin treats headache --output why.json" in text
    assert "--parameters 'fc.*' 'bn2.*'" in text
