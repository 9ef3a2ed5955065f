"""Shell completion of commands and of their options, as bash asks for it."""

import os
import subprocess
import sys

from tracin_dask.cli.main import COMMANDS

SLOW = ["torch", "distributed", "dask", "pyarrow", "zarr", "numpy"]
SCRIPT = f"""
import sys
from tracin_dask.cli.main import group
try:
    group(prog_name="tracin-dask")
finally:
    print("loaded:", [name for name in {SLOW} if name in sys.modules])
"""


def completed(*words):
    """Give what bash would offer for the last of the words, and check that nothing slow was imported for it."""
    asked = {"_TRACIN_DASK_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["tracin-dask", *words])}
    environment = os.environ | asked | {"COMP_CWORD": str(len(words))}
    command = [sys.executable, "-c", SCRIPT]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert told.stderr == ""
    *offers, loaded = told.stdout.splitlines()
    assert loaded == "loaded: []"
    return [offer.split(",")[1] for offer in offers if offer]


def test_bash_gets_a_function_that_asks_for_completions():
    environment = os.environ | {"_TRACIN_DASK_COMPLETE": "bash_source"}
    told = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert "_TRACIN_DASK_COMPLETE=bash_complete" in told.stdout


def test_commands_are_completed():
    assert completed("") == list(COMMANDS)
    assert completed("in") == ["ingest"]
    assert completed("cluster", "") == ["check", "init", "show"]


def test_options_of_commands_are_completed():
    assert completed("run", "--rank") == ["--rank-by", "--rank-of", "--ranks"]
    assert {"--model-path", "--output-dir", "--cluster", "--help"} <= set(completed("run", "--"))
    assert completed("train", "--embedding") == ["--embedding-dim", "--embedding-height", "--embedding-width"]
    assert completed("submit", "--dry") == ["--dry-run"]


def test_values_of_choices_are_completed():
    assert completed("run", "--loss", "") == ["bce", "one-to-all", "slcwa"]
    assert completed("cluster", "init", "s") == ["slurm", "sge", "ssh"]


def test_values_of_options_that_take_many_are_completed():
    assert completed("run", "--model-path", "mo") == ["mo"]
    for option in ("--parameters", "--learning-rate", "--only-relations", "--exclude-relations"):
        assert completed("run", option, "x") == []
    assert completed("run", "--only-relations", "treats", "--candi") == ["--candidates"]
