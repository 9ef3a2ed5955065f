"""`scripts/soak` finds nothing wrong with runs that are killed, stopped and starved, and all that a run may leave."""

import multiprocessing
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
sys.path.append(str(SCRIPTS))

import soak as soak_script  # noqa: E402 - scripts/ must be on the path
from click.testing import CliRunner  # noqa: E402 - with the others
from soak_rounds import checks  # noqa: E402 - scripts/ must be on the path
from soak_rounds.errors import SoakError  # noqa: E402 - scripts/ must be on the path
from soak_rounds.faults import FAULTS  # noqa: E402 - scripts/ must be on the path
from soak_rounds.graph import digests  # noqa: E402 - scripts/ must be on the path
from soak_rounds.memory import growth  # noqa: E402 - scripts/ must be on the path
from soak_rounds.processes import Marked  # noqa: E402 - scripts/ must be on the path
from soak_rounds.rounds import Arena, Ended, play  # noqa: E402 - scripts/ must be on the path

ONE_OF_EACH_KIND = (
    "a worker is killed",
    "a worker is stopped for seconds",
    "the scheduler is killed",
    "the client is killed",
    "the disk is full",
)
PYTHON = (sys.executable, "-I", "-S", "-c")
"""It starts at once, without the packages of this environment."""
SEED = 9249
"""Which draws local workers for most faults, and first those that end the run: it then takes the least time."""
RIGHT = """
import os, pathlib, socket, subprocess, sys, tempfile, time
output = pathlib.Path(sys.argv[1])
output.mkdir(exist_ok=True)
(output / "a.json").write_text('{"influence": 0.5, "run": {"seconds": %f}}' % time.time())
"""
LEFT = {
    "process": "subprocess.Popen([sys.executable, '-ISc', 'import time; time.sleep(600)'], start_new_session=True)",
    "process that listens": "subprocess.Popen([sys.executable, '-ISc', 'import socket; s = socket.socket(); "
    'socket.socket.bind(s, ("127.0.0.1", 0)); s.listen(); s.accept()\'])',
    "file": "tempfile.mkstemp()",
    "folder": "tempfile.mkdtemp()",
    "socket": "socket.socket(socket.AF_UNIX).bind(tempfile.gettempdir() + '/listener')",
    "part": "(output / 'a.json.part').touch()",
    "lock": "(output / '.lock').touch()",
    "records": "output.with_name('why.progress').mkdir()",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Stands for a graph that is explained: its command is a program of Python."""

    program: str

    def command(self, output: Path, _where: str) -> list[str]:
        return [*PYTHON, self.program, str(output)]


@pytest.fixture
def play_script(tmp_path, monkeypatch):
    """Play an undisturbed round on no cluster, in which the run does what a right one does, and then something else."""
    monkeypatch.setattr(checks, "LEAVE_SECONDS", 0.5)
    for name in ("disk", "tmp"):
        (tmp_path / name).mkdir()
    marked = Marked(mark=str(tmp_path), scratch=tmp_path / "tmp")

    def play_it(then: str = "") -> list[str]:
        arena = Arena(
            folder=tmp_path,
            disk=tmp_path / "disk",
            explained=Script(program=f"{RIGHT}\n{then}\n"),
            marked=marked,
            expected=right_digests(tmp_path),
            seconds=0.01,
        )
        ended = play(arena, ["undisturbed"], random.Random(1))  # noqa: S311 - faults are no secrets
        return [one.how for one in ended]

    yield play_it
    marked.kill()


def right_digests(folder: Path) -> dict[str, str]:
    subprocess.run([*PYTHON, RIGHT, folder / "right"], check=True)
    return digests(folder / "right")


def soak(*words: str) -> str:
    command = [SCRIPTS / "soak", *words]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, check=False, timeout=550, **streams)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_runs_whose_worker_and_client_are_killed_give_the_same_bits_and_leave_nothing():
    """Takes a minute."""
    names = ("a worker is killed", "the client is killed")
    said = soak("--once", "--no-memory", f"--seed={SEED}", *(f"--only={name}" for name in names))
    assert all(f"\n{name:<46}    1: " in said for name in names)
    assert "faults: no violation(s)" in said


@pytest.mark.slow
def test_runs_under_each_kind_of_fault_give_the_same_bits_or_one_error_leave_nothing_and_take_no_more_memory():
    """Takes three minutes."""
    said = soak("--once", "--minutes=3", f"--seed={SEED}", *(f"--only={name}" for name in ONE_OF_EACH_KIND))
    skipped = ("the disk is full",) if "no full disk in this soak" in said else ()
    for name in set(ONE_OF_EACH_KIND) - set(skipped):
        assert f"\n{name:<46}    1: " in said
    assert "faults: no violation(s)" in said
    measured = {line.split()[2] for line in said.splitlines() if line.startswith("memory of ")}
    assert measured == {"client", "scheduler", "worker"}


class TestChecks:
    def test_a_right_run_passes(self, play_script):
        assert play_script() == ["same bits"]

    @pytest.mark.parametrize("then", [pytest.param(then, id=name) for name, then in LEFT.items()])
    def test_what_a_run_leaves_is_found(self, play_script, then):
        with pytest.raises(SoakError, match=r"were left"):
            play_script(then)

    def test_a_left_socket_is_called_a_socket(self, play_script):
        with pytest.raises(SoakError, match=r"socket .*/listener"):
            play_script(LEFT["socket"])

    @pytest.mark.parametrize(
        "then",
        [
            "(output / 'a.json').write_text('{\"influence\": 0.50000001}')",
            "(output / 'a.json').write_text('{')",
            "(output / 'a.json').unlink()",
            "(output / 'b.json').write_text('{}')",
        ],
    )
    def test_other_bits_are_found(self, play_script, then):
        with pytest.raises(SoakError, match=r"other bits than an undisturbed run in [ab]\.json"):
            play_script(then)

    @pytest.mark.parametrize(
        ("then", "found"), [("1 / 0", "with a traceback"), ("sys.exit(3)", "exit code 3 although")]
    )
    def test_a_run_that_fails_without_a_fault_is_found(self, play_script, then, found):
        with pytest.raises(SoakError, match=found):
            play_script(then)

    def test_totals_of_groups_are_compared(self, tmp_path):
        found = []
        for number, total in enumerate([1.0, 1.0, 1.0000001]):
            (tmp_path / str(number)).mkdir()
            pq.write_table(pa.table({"total": [total]}), tmp_path / str(number) / "all_groups.parquet")
            found.append(digests(tmp_path / str(number)))
        assert found[0] == found[1] != found[2]

    def test_a_semaphore_that_nobody_uses_is_found(self, monkeypatch):
        monkeypatch.setattr(checks, "LEAVE_SECONDS", 0.5)
        before = checks.semaphores()
        used = multiprocessing.get_context("spawn").Semaphore()
        checks.refuse_left_semaphores(before)
        left = checks._SHARED_MEMORY / "sem.left"
        left.touch()
        try:
            with pytest.raises(SoakError, match=r"were left: .*sem\.left"):
                checks.refuse_left_semaphores(before)
        finally:
            left.unlink()
        del used

    def test_a_run_that_does_not_end_is_found(self, tmp_path):
        errors = tmp_path / "run.log"
        errors.write_text("scored 5 of 10")
        with (
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as client,
            pytest.raises(SoakError, match=r"had not ended after 0 s:\nscored 5 of 10"),
        ):
            checks.ended(client, 0.1, errors)
        assert client.returncode == -9


class TestRunThatEndsAfterItsWork:
    @pytest.fixture
    def written(self, tmp_path):
        """A disk with the result of a right run, and its digests."""
        (tmp_path / "disk" / "why").mkdir(parents=True)
        (tmp_path / "disk" / "why" / "a.json").write_text("{}")
        return tmp_path / "disk" / "why", digests(tmp_path / "disk" / "why")

    def test_a_whole_result_is_complete_and_a_dead_lock_is_no_matter(self, written):
        output, expected = written
        (output / ".lock").touch()
        assert checks.is_complete(output, expected, "stopped; the result is complete: why")
        assert [path.name for path in output.iterdir()] == ["a.json"]

    @pytest.mark.parametrize("spoil", ["records", "bits"])
    def test_records_or_other_bits_make_it_incomplete(self, written, spoil):
        output, expected = written
        (output / ".progress").mkdir() if spoil == "records" else (output / "a.json").write_text('{"influence": 1}')
        assert not checks.is_complete(output, expected, "stopped; finished rows are kept")
        with pytest.raises(SoakError, match="although the run said"):
            checks.is_complete(output, expected, "stopped; the result is complete: why")


@pytest.fixture
def once(monkeypatch):
    """Play one round that ends as stated, through the command."""
    monkeypatch.setattr(soak_script.signal, "signal", lambda *_: None)  # that of this process stay as they are
    cleared = []

    def call(error: SoakError | None) -> tuple[int, str, int]:
        def play_one(_arena, names, _chance):
            yield Ended(name=names[0], place="local", how="same bits")
            if error is not None:
                raise error

        arena = SimpleNamespace(clear=lambda: cleared.append(True))
        monkeypatch.setattr(soak_script.Soak, "_arena", arena)
        monkeypatch.setattr(soak_script, "play", play_one)
        result = CliRunner().invoke(soak_script.command, ["--once", "--no-memory", "--only=undisturbed"])
        return result.exit_code, result.output, len(cleared)

    return call


def test_the_command_ends_with_1_after_a_violation(once):
    code, said, times_cleared = once(SoakError("files were left"))
    assert (code, times_cleared) == (1, 1)
    assert "VIOLATION: files were left" in said
    assert "1 disturbed runs, 1 faults: 1 violation(s)" in said


def test_the_command_ends_with_0_where_nothing_is_wrong(once):
    code, said, times_cleared = once(None)
    assert (code, times_cleared) == (0, 0)
    assert "1 disturbed runs, 1 faults: no violation(s)" in said


class TestEndings:
    @pytest.mark.parametrize(
        ("name", "code", "said", "how"),
        [
            ("the disk is full", 1, "Error: no space left", "Error: no space left"),
            ("the client is killed", -9, "", "killed"),
            ("a worker is killed", 0, "scored 5", "same bits"),
            ("SIGINT", 130, "scored 5\nstopped; finished rows are kept in x", "stopped by SIGINT"),
            ("SIGTERM", 143, "stopped; nothing is kept", "stopped by SIGTERM"),
            ("SIGTERM", 0, "wrote a.json", "same bits"),
        ],
    )
    def test_one_clear_ending_is_right(self, name, code, said, how):
        assert checks.judged(FAULTS[name], code, said) == how

    @pytest.mark.parametrize(
        ("name", "code", "said"),
        [
            ("the disk is full", 1, ""),
            ("the disk is full", 1, "Error: no space left\nError: again"),
            ("the disk is full", 2, "Error: no space left"),
            ("the disk is full", -11, "Segmentation fault"),
            ("the client is killed", 130, "stopped"),
            ("a worker is killed", 1, "Error: all workers are gone"),
            ("a worker is killed", 0, "Traceback (most recent call last):\nValueError: a\nscored 5"),
            ("SIGINT", 143, "stopped"),
            ("SIGINT", 130, ""),
            ("SIGINT", 130, "stopped\nstopped"),
            ("SIGINT", 130, "2026-11-27 - distributed.nanny - WARNING - Restarting worker\nstopped"),
        ],
    )
    def test_any_other_ending_is_wrong(self, name, code, said):
        with pytest.raises(SoakError, match="exit code"):
            checks.judged(FAULTS[name], code, said)


def test_memory_is_flat_up_to_five_percent():
    warm_up = [10.0, 50.0, 90.0, 100.0]
    assert growth("client", [*warm_up, *[100.0] * 4, *[104.9] * 4]).is_flat
    assert not growth("client", [*warm_up, *[100.0] * 4, *[105.1] * 4]).is_flat
    assert growth("client", [*warm_up, *[100.0] * 4, *[80.0] * 4]).is_flat


def test_memory_of_too_few_runs_is_not_judged():
    with pytest.raises(SoakError, match="only 11 runs, 12 are needed"):
        growth("client", [1.0] * 11)
