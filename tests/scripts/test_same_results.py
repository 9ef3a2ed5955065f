"""`scripts/same_results` finds the recorded influences again, and notices a single changed number."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from same_runs.cases import CASES  # noqa: E402 - scripts/ must be on the path
from same_runs.machine import machine  # noqa: E402 - scripts/ must be on the path

RECORDED = ROOT / "tests" / "data" / "same_results.json"
QUICK = ("width-bce", "large-many-tests", "width-self-checkpoints-saved", "any-model-own-groups-saved")
PAIR = ("width-opponents", "width-cosine")


def run_script(*words: object, cases: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Run the script on some cases, in a process of its own as a user does."""
    only = [f"--only={name}" for name in cases]
    command = [sys.executable, ROOT / "scripts" / "same_results.py", *words, *only]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def recorded_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record two cases on this machine."""
    path = tmp_path_factory.mktemp("recording") / "hashes.json"
    done = run_script("--record", "--hashes", path, cases=PAIR)
    assert done.returncode == 0, done.stderr
    return path


def test_influences_equal_those_recorded_in_the_repository_on_the_same_kind_of_machine():
    done = run_script(cases=QUICK)
    recorded = json.loads(RECORDED.read_text())
    if recorded["machine"] != machine():
        assert "this machine is not that of the recording" in done.stdout
        assert f"scripts/same_results --against {recorded['commit']}" in done.stdout
        assert "failed: " not in done.stdout
        return
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(QUICK)} of {len(QUICK)} cases are the same" in done.stdout


def test_a_changed_number_is_noticed_and_shown(recorded_here, tmp_path):
    contents = json.loads(recorded_here.read_text())
    contents["cases"][PAIR[0]]["hashes"]["influences"] = "0" * 64
    contents["cases"][PAIR[0]]["top"] = "0.125 of training triple 7"
    doctored = tmp_path / "doctored.json"
    doctored.write_text(json.dumps(contents))
    done = run_script("--hashes", doctored, cases=PAIR)
    assert done.returncode == 1, done.stderr
    changed, same = (next(line for line in done.stdout.splitlines() if f" {name} " in line) for name in PAIR)
    top = json.loads(recorded_here.read_text())["cases"][PAIR[0]]["top"]
    assert changed.startswith("DIFFERENT")
    assert changed.endswith(f"other influences; top influence 0.125 of training triple 7 then, {top} now")
    assert same.startswith("same ")
    assert "1 of 2 cases are the same" in done.stdout


def test_another_machine_and_an_unrecorded_case_are_told(recorded_here, tmp_path):
    contents = json.loads(recorded_here.read_text())
    contents["machine"]["cpu_capability"] = "ABACUS"
    del contents["cases"][PAIR[1]]
    doctored = tmp_path / "doctored.json"
    doctored.write_text(json.dumps(contents))
    done = run_script("--hashes", doctored, cases=PAIR)
    assert done.returncode == 1, done.stderr
    assert "cpu_capability was ABACUS, is " in done.stdout
    assert f"--against {contents['commit']}" in done.stdout
    assert "is not in the recording" in done.stdout


def test_recording_some_cases_does_not_drop_the_others(recorded_here):
    before = recorded_here.read_bytes()
    done = run_script("--record", "--hashes", recorded_here, cases=PAIR[:1])
    assert done.returncode == 2
    assert "has other cases, too, which would be lost" in done.stderr
    assert recorded_here.read_bytes() == before


def test_every_case_is_recorded_and_together_they_take_every_engine():
    cases = json.loads(RECORDED.read_text())["cases"]
    assert cases.keys() == CASES.keys()
    engines = " | ".join(found["engine"] for found in cases.values())
    for way in (
        "forward mode: directions per (head, relation), relation table",
        "pair product: backward per row",
        "pair product: Jacobians per head, directions for (head, relation) of",
        "scores of all entities per (head, relation)",
        "automatic differentiation: gradients of rows that test triples share",
        "automatic differentiation: forward mode along each test triple's gradient",
        "automatic differentiation: gradients of each triple",
    ):
        assert way in engines
