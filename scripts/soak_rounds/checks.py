"""What must hold after a disturbed run: it said one thing, gave the same bits and left nothing."""

import contextlib
import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from soak_rounds.errors import SoakError
from soak_rounds.faults import Fault
from soak_rounds.graph import digests
from soak_rounds.processes import Marked, mapped_inodes

LEAVE_SECONDS = 60.0
"""In which all processes of a run must be gone after it."""
_POLL_SECONDS = 0.2
_KEPT_BY_LIBRARIES = re.compile(r"dask-scratch-space(/(global|purge)\.lock)?|torchinductor_\w+")
"""What Dask and PyTorch keep in the folder of temporary files for the next process: nothing else, and no more."""
_LINE_OF_DASK = re.compile(r"\bdistributed\.\S+ - ")
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux has semaphores and shared memory
_STOPPED = {130: "stopped by SIGINT", 143: "stopped by SIGTERM"}


def ended(client: "subprocess.Popen[bytes]", seconds: float, errors: Path) -> int:
    """Wait for a run and give its exit code; refuse a run that does not end in time."""
    try:
        return client.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        client.kill()
        client.wait()
        said = errors.read_text(encoding="utf-8", errors="replace")
        raise SoakError(f"the run had not ended after {seconds:.0f} s:\n{said[-3000:]}") from None


def judged(fault: Fault, code: int, said: str) -> str:
    """Say how a disturbed run ended by what it printed after the fault, if it may end so."""
    if code == fault.exit_code == -signal.SIGKILL:
        return "killed"  # whatever its workers say then
    if "Traceback" in said:
        raise SoakError(f"exit code {code} with a traceback:\n{said[-3000:]}")
    if code == 0:
        return "same bits"
    if fault.must_succeed:
        raise SoakError(f"exit code {code} although the run can go on:\n{said[-3000:]}")
    if code == fault.exit_code:
        return _stopped(code, said)
    messages = [line for line in said.splitlines() if line.startswith("Error: ")]
    if code != 1 or len(messages) != 1:
        raise SoakError(f"exit code {code}, and not one message:\n{said[-3000:]}")
    return messages[0][:120]


def _stopped(code: int, said: str) -> str:
    lines = said.splitlines()
    if sum(line.startswith("stopped") for line in lines) != 1 or any(map(_LINE_OF_DASK.search, lines)):
        raise SoakError(f"exit code {code}, and not one line that begins with 'stopped':\n{said[-3000:]}")
    return _STOPPED[code]


def refuse_other_bits(output: Path, expected: Mapping[str, str]) -> None:
    """Compare a result with that of an undisturbed run."""
    found = digests(output)
    other = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if other:
        raise SoakError(f"{output} has other bits than an undisturbed run in {', '.join(other)}")


def is_complete(output: Path, expected: Mapping[str, str], said: str) -> bool:
    """Tell whether a run that was ended has done its work before, as it says itself if it can."""
    others = [path for path in output.parent.rglob("*") if path.name not in {output.name, *expected}]
    if any(path.name != ".lock" for path in others) or digests(output) != expected:
        if "the result is complete" in said:
            raise SoakError(f"the result is not complete, or records are left, although the run said:\n{said[-3000:]}")
        return False
    for lock in others:
        lock.unlink()  # of a process that was killed; it holds nobody up
    return True


def refuse_left_processes(marked: Marked) -> None:
    """Refuse processes that did not end, and with them their sockets."""
    left = marked.left_after(LEAVE_SECONDS)
    if left:
        marked.kill()
        raise SoakError(f"{len(left)} process(es) were left after {LEAVE_SECONDS:.0f} s:\n" + "\n".join(left))


def refuse_other_files(output: Path, expected: Iterable[str] | None) -> None:
    """Refuse all files on the disk but those of a result, which may be none."""
    results = set() if expected is None else {output, *(output / name for name in expected)}
    _refuse(path for path in output.parent.rglob("*") if path not in results)


def refuse_temporary_files(scratch: Path) -> None:
    """Refuse all but what libraries keep in the folder of temporary files."""
    _refuse(path for path in scratch.rglob("*") if not _KEPT_BY_LIBRARIES.fullmatch(str(path.relative_to(scratch))))


def _refuse(left: Iterable[Path]) -> None:
    described = [_described(path) for path in left]
    if described:
        raise SoakError("files were left:\n" + "\n".join(described))


def semaphores() -> dict[int, str]:
    """Name the semaphores and the shared memory that this machine has, by their inodes."""
    found = {}
    for path in _SHARED_MEMORY.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            found[path.stat().st_ino] = path.name
    return found


def refuse_left_semaphores(before: Iterable[int]) -> None:
    """Refuse semaphores and shared memory that are new and that no process of this machine uses."""
    deadline = time.monotonic() + LEAVE_SECONDS
    known = frozenset(before)
    while (new := semaphores()).keys() - known and (left := new.keys() - known - mapped_inodes(_SHARED_MEMORY)):
        if time.monotonic() > deadline:
            raise SoakError(f"semaphores or shared memory were left: {', '.join(sorted(new[one] for one in left))}")
        time.sleep(_POLL_SECONDS)


def _described(path: Path) -> str:
    kind = "socket" if path.is_socket() else "folder" if path.is_dir() else "file"
    return f"{kind} {path}"
