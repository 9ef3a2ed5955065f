"""The command: measures the chosen sections, prints one table, writes JSON, plots and Markdown."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks import machine, tables
from benchmarks.processes import CommandError
from benchmarks.report import ReportError, complete, read_sections, sections_of
from benchmarks.settings import FULL, GPU_SECTIONS, QUICK, SECTIONS, Settings, SettingsPlugin, default_graph

HERE = Path(__file__).resolve().parent
DESCRIPTION = """Measure the engine and the whole command on this machine.

Every run measures the machine beside the figures (G, its float32 matrix product with the same threads; memory copies;
load), so that figures of different machines can be compared. Figures are medians over rounds with their smallest and
largest value; the table at the end puts them beside what the project requires of itself.
"""
DURATIONS = {
    "engine": ("10 min", "3 min"),
    "calls": ("5 min", "5 min"),
    "losses": ("5 min", "1 min"),
    "models": ("3 min", "1 min"),
    "train": ("3 min", "1 min"),
    "trainings": ("10 min", "15 s"),
    "peers": ("15 min", "3 min"),
    "claims": ("25 min", "2 min"),
    "robokop": ("40 min", "1 min"),
    "scaling": ("30 min", "2 min"),
    "dask": ("15 min", "1 min"),
    "start": ("1 min", "30 s"),
    "stores": ("2 min", "1 min"),
    "clusters": ("30 s", "15 s"),
}
"""How long each section takes on two cores: in full, and with --quick."""
FILE_COLUMNS = 140
"""Width of the table where no terminal sets it."""
EPILOG = """The first robokop, scaling or dask makes the synthetic graph (18.6 million triples, about 1.1 GB of files;
--graph says where). FB15k-237 is found in the folder that TRACIN_DASK_DATA names; without it a random graph of its size
is measured.

On a GPU: scripts/bench --device cuda --json gpu.json measures the sections engine, losses, models, train and robokop.
It also reports how busy the GPU is, the peak of its memory, and what the plan counts of it. The project has not
measured these figures yet and states none; its requirements for a card like an H100 are aims. Please send that file in.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    options = parser().parse_args(arguments)
    try:
        return _report(options) if options.report else _measure(options)
    except (CommandError, ReportError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    lines = [f"  {name:<9} {SECTIONS[name]} ({full}; --quick {quick})" for name, (full, quick) in DURATIONS.items()]
    made = argparse.ArgumentParser(
        prog="scripts/bench",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=DESCRIPTION + "\nsections:\n" + "\n".join(lines),
        epilog=EPILOG,
    )
    made.add_argument("sections", nargs="*", metavar="SECTION", help="what to measure; all of them by default")
    made.add_argument("--quick", action="store_true", help="smaller sizes and two rounds: shows that everything works")
    made.add_argument(
        "--device", choices=["cpu", "cuda"], default="cpu", help="cuda: engine, losses, models, train, robokop on a GPU"
    )
    made.add_argument("--threads", type=_count, default=2, help="threads of the one process (default: 2)")
    made.add_argument("--repeats", type=_count, help="rounds (default: 5, or 2 with --quick)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured here")
    made.add_argument("--plots", type=Path, metavar="DIR", help="draw the plots here, as SVG")
    made.add_argument("--graph", type=Path, metavar="DIR", help="folder of the synthetic graph; made if missing")
    made.add_argument(
        "--cluster",
        nargs="+",
        default=["local"],
        metavar="SPEC",
        help="clusters of section clusters: local, cuda, files",
    )
    made.add_argument(
        "--report", type=Path, nargs="+", metavar="FILE", help="measure nothing: show what --json wrote earlier"
    )
    made.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write plots and table between the marks in this document"
    )
    return made


def settings_of(options: argparse.Namespace, scratch: Path) -> Settings:
    """Turn the command line into settings."""
    return Settings(
        sections=tuple(options.sections or (GPU_SECTIONS if options.device == "cuda" else SECTIONS)),
        device=options.device,
        threads=options.threads,
        repeats=options.repeats or (2 if options.quick else 5),
        is_quick=options.quick,
        sizes=QUICK if options.quick else FULL,
        graph=(options.graph or default_graph(is_quick=options.quick)).absolute(),
        scratch=scratch,
        clusters=tuple(options.cluster),
    )


def measure(settings: Settings) -> tuple[dict[str, Any], bool]:
    """Measure the sections between two looks at the machine; also tell whether all of them came to their end.

    Raises
    ------
    CommandError
        If nothing at all was measured.
    """
    torch.set_num_threads(settings.threads)
    before = machine.measure(settings.device, settings.sizes.matrix_sizes)
    written = settings.scratch / "pytest-benchmark.json"
    code = pytest.main(_pytest_arguments(settings, written), plugins=[SettingsPlugin(settings)])
    torch.set_num_threads(settings.threads)
    after = machine.measure(settings.device, settings.sizes.matrix_sizes)
    if not written.exists() or not written.stat().st_size:
        raise CommandError("no section came to its end; what went wrong is above")
    stated = asdict(settings) | {"graph": str(settings.graph), "scratch": None}
    about = machine.describe(settings.device, settings.threads) | {"before": before, "after": after}
    return complete(json.loads(written.read_text()), settings=stated, machine=about), code == pytest.ExitCode.OK


def _pytest_arguments(settings: Settings, written: Path) -> list[str]:
    return [
        *(str(HERE / f"bench_{name}.py") for name in settings.sections),
        *("-c", str(HERE / "pytest.ini"), "--rootdir", str(HERE)),
        *("--verbose", "--no-header", "-rs", "--capture", "no"),
        *("--benchmark-json", str(written), "--benchmark-quiet"),
    ]


def _measure(options: argparse.Namespace) -> int:
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        raise CommandError(f"no section {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
    _refuse_device(options)
    with tempfile.TemporaryDirectory(prefix="tracin-dask-bench-") as scratch:
        contents, is_complete = measure(settings_of(options, Path(scratch)))
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(contents, indent=2))
    _show(sections_of(contents), options)
    return 0 if is_complete else 1


def _refuse_device(options: argparse.Namespace) -> None:
    if options.device != "cuda":
        return
    others = [name for name in options.sections if name not in GPU_SECTIONS]
    if others:
        raise CommandError(
            f"--device cuda measures the sections {', '.join(GPU_SECTIONS)}; leave {', '.join(others)} out"
        )
    if not torch.cuda.is_available():
        raise CommandError(
            f"--device cuda, but PyTorch {torch.__version__} finds no GPU; install a PyTorch with CUDA on a machine "
            "that has one, or leave --device out"
        )


def _report(options: argparse.Namespace) -> int:
    _show(read_sections(options.report), options)
    return 0


def _show(sections: list[Any], options: argparse.Namespace) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_COLUMNS)
    console.print(tables.screen_table(sections))
    for text in dict.fromkeys(tables.about(section) for section in sections):
        console.print(text, highlight=False)
    drawn: list[Path] = []
    if options.plots:
        from benchmarks import plots  # noqa: PLC0415 - only plots need matplotlib

        drawn = plots.draw_all(sections, options.plots)
    if options.markdown:
        tables.write_markdown(options.markdown, sections, drawn)
    for path in filter(None, [options.json, *drawn, options.markdown]):
        console.print(f"wrote {path}", highlight=False)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value
