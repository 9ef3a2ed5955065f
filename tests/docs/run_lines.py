"""Runs the lines of a page's blocks of commands: those of the package in this process, others in bash."""

import itertools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from made_folder import SIZES
from pages import ROOT

from tracin_dask.cli.main import group

SMALL = [*map(str, SIZES), "--num-epochs", "12", "--batch-size", "64"]
"""Options for `train` that keep it short; options that come last count."""
_OUTPUT = re.compile("-o|--(output|output-dir|save-scores|save-groups|json|metapaths)")


def run_line(line: str, *, as_it_is: bool = False) -> str:
    """Run a line, and return what it printed. Whatever it says that it writes must be there."""
    words = _words(line)
    if words[0] != "tracin-dask" or set("|<>&;").intersection(_words(line, punctuation=True)):
        return _in_bash(line)
    if words[1] == "train" and not as_it_is:
        words += SMALL
    result = CliRunner().invoke(group, words[1:])
    if result.exception and not (isinstance(result.exception, SystemExit) and result.exit_code == 0):
        raise AssertionError(f"{line}\n{result.output}") from result.exception
    missing = [path for path in outputs_of(line) if not path.exists()]
    assert missing == [], f"{line}\n{result.output}"
    return result.output


def _words(line: str, *, punctuation: bool = False) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=punctuation)
    lexer.whitespace_split = True
    return list(lexer)


def _in_bash(line: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    command = ["bash", "-e", "-o", "pipefail", "-c", line]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def outputs_of(line: str) -> list[Path]:
    """Return the files and folders that a line says that it writes."""
    return [Path(value) for option, value in itertools.pairwise(_words(line)) if _OUTPUT.fullmatch(option)]


def form_of(text: str) -> str:
    """Return a text with its numbers as #, and blanks and lines of tables as one blank."""
    return " ".join(re.sub(r"[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?", "#", re.sub(r"[─━┏┓┗┛┡┩┳╇┴└┘]", " ", text)).split())
