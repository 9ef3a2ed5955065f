"""Two processes never write one place: the second is refused, and told who the first is."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tracin_dask.places.files import locked_file, locked_folder, write_bytes
from tracin_dask.places.lock import hold
from tracin_dask.places.place import BusyError
from tracin_dask.places.registry import place_of

HOLD = """
import sys, time
from tracin_dask.places.files import locked_folder
with locked_folder(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process, which holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def hold_now(path: Path) -> None:
    with hold(path, "a.json", "choose another output"):
        pass


@pytest.fixture
def no_locks(monkeypatch):
    """A file system without locks."""

    def missing(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", missing)


class TestLock:
    @pytest.mark.fault("two processes write one place", promised="the second is refused, and the first named")
    def test_the_second_process_is_refused_with_the_host_and_process_of_the_first(self, other, tmp_path):
        message = rf"{tmp_path}: process {other.pid} on {socket.gethostname()} \(since 20.*\) is writing here"
        with pytest.raises(BusyError, match=message), locked_folder(tmp_path):
            pass

    @pytest.mark.fault("a process that holds a lock is killed", promised="the next one gets the lock")
    def test_a_killed_process_holds_nothing(self, other, tmp_path):
        other.send_signal(signal.SIGKILL)
        other.wait()
        with locked_folder(tmp_path):
            assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()

    def test_a_lock_leaves_no_file(self, tmp_path):
        with locked_file(tmp_path / "a.json"), locked_folder(tmp_path):
            assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "a.json.lock"]
        assert list(tmp_path.iterdir()) == []

    def test_another_thread_of_this_process_is_refused(self, tmp_path):
        with locked_file(tmp_path / "a"), pytest.raises(BusyError, match=f"process {os.getpid()}"):
            hold_now(tmp_path / "a.lock")

    def test_files_of_different_names_are_free(self, tmp_path):
        with locked_file(tmp_path / "a.json"), locked_file(tmp_path / "b.json"):
            pass

    def test_a_child_that_outlives_its_parent_keeps_no_lock(self, tmp_path):
        fork = HOLD.replace("    print", "    import os\n    if os.fork() == 0:\n        time.sleep(60)\n    print")
        process = subprocess.Popen(
            [sys.executable, "-c", fork, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
        process.wait()
        try:
            patience_ends = time.monotonic() + 30
            while time.monotonic() < patience_ends:  # until the child has closed what it has inherited
                try:
                    with locked_folder(tmp_path):
                        break
                except BusyError:
                    time.sleep(0.05)
            else:
                pytest.fail("the child holds the lock")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()

    def test_two_writers_of_a_file_are_refused(self, tmp_path):
        place = place_of(tmp_path / "a.pt")
        with place.writer() as file:
            file.write(b"first")
            with pytest.raises(BusyError, match=r"a\.pt: another process is writing here"):
                write_bytes(place, b"second")
        assert (tmp_path / "a.pt").read_bytes() == b"first"


@pytest.mark.usefixtures("no_locks")
class TestWithoutLocks:
    def holder(self, **changed: object) -> str:
        return json.dumps({"host": socket.gethostname(), "process": os.getppid(), "started": "today"} | changed)

    def test_a_living_process_of_this_machine_is_respected(self, tmp_path):
        (tmp_path / "lock").write_text(self.holder())
        with pytest.raises(BusyError, match=rf"process {os.getppid()} .*if that process has ended, delete .*lock"):
            hold_now(tmp_path / "lock")

    @pytest.mark.fault("a file system without locks, a writer on another machine", promised="the second is refused")
    def test_a_process_of_another_machine_is_respected(self, tmp_path):
        (tmp_path / "lock").write_text(self.holder(host="elsewhere"))
        with pytest.raises(BusyError, match="on elsewhere"):
            hold_now(tmp_path / "lock")

    def test_a_dead_process_of_this_machine_is_not(self, tmp_path):
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        (tmp_path / "lock").write_text(self.holder(process=dead.pid))
        hold_now(tmp_path / "lock")
        assert not (tmp_path / "lock").exists()

    def test_a_new_lock_is_held(self, tmp_path):
        with hold(tmp_path / "lock", "a", "wait"), pytest.raises(BusyError):
            hold_now(tmp_path / "lock")
