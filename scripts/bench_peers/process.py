"""Starts the process that runs a peer, in the peer's environment, and tells what became of it."""

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_peers.environments import FOLDER_VARIABLE, ROOT

KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
"""Let glibc use freed memory again: peers that make whole gradients are up to twice as fast for it."""
NO_PROGRESS = {"TQDM_DISABLE": "1"}
"""Let no library draw its progress."""


class PeerError(RuntimeError):
    """A peer could not be run."""


def run_child(
    module: str,
    arguments: Sequence[str],
    python: Path,
    *,
    timeout_seconds: float,
    threads: int,
    peer: str = "the peers",
) -> Any:  # noqa: ANN401 - JSON
    """Run a module of `bench_peers` and read what it prints.

    Raises
    ------
    PeerError
        If it fails, takes too long, or is killed, as for want of memory.
    """
    command = [str(python), "-P", "-m", f"bench_peers.{module}", *arguments]
    try:
        done = subprocess.run(
            command, env=_environment(threads), capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(
            f"{peer}: not done after {timeout_seconds:g} seconds; ask for shorter runs or allow more time"
        ) from error
    except OSError as error:
        raise PeerError(f"{peer}: {command[0]} does not run: {error}; {FOLDER_VARIABLE} may name its folder") from error
    if done.returncode != 0:
        raise PeerError(f"{peer}: {_what_happened(done.returncode)} in {command[0]}\n{done.stderr[-2_000:].strip()}")
    return json.loads(done.stdout)


def _what_happened(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed, most often because memory ran out; take fewer test triples,"
    return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _environment(threads: int) -> dict[str, str]:
    """Let the process find this package and the model, which its environment has not installed."""
    path = os.pathsep.join(filter(None, [str(ROOT / "scripts"), str(ROOT), os.environ.get("PYTHONPATH")]))
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return os.environ | KEEP_FREED_MEMORY | NO_PROGRESS | counts | {"PYTHONPATH": path}
