"""Training triples per second and peak memory of a peer, measured in a process of its own."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from bench_peers import PEERS
from bench_peers.timing import Timing
from tracin_dask.models.conve.model import ConvE

PYTHON_VARIABLE = "TRACIN_DASK_PEERS_PYTHON"
"""Names the interpreter of an environment in which the peers are installed; without it, this one is taken."""

SCRIPTS = Path(__file__).resolve().parents[1]
LIST_TIMEOUT_SECONDS = 120.0
KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
"""Let glibc use freed memory again: peers that make whole gradients are up to twice as fast for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a peer did.

    Attributes
    ----------
    peer
        Its key in PEERS.
    version
        The installed version of its library.
    rows
        Training triples per run.
    rows_per_second, rows_per_second_min, rows_per_second_max
        Median, smallest and largest of the runs.
    prepare_seconds
        What `Peer.prepare` took.
    peak_bytes
        The most memory that the process held, Python and torch included.
    """

    peer: str
    version: str
    num_tests: int
    rows: int
    rows_per_second: float
    rows_per_second_min: float
    rows_per_second_max: float
    prepare_seconds: float
    peak_bytes: int


class PeerError(RuntimeError):
    """A peer could not be measured."""


def interpreter() -> Path:
    """Give the interpreter that runs the peers."""
    return Path(os.environ.get(PYTHON_VARIABLE) or sys.executable)


def installed(python: Path | None = None) -> Mapping[str, str | None]:
    """Give the installed version of every peer's library; None where none, or none of the range, is installed.

    Raises
    ------
    PeerError
        If the interpreter cannot be asked.
    """
    versions: dict[str, str | None] = _run(["versions"], python, timeout_seconds=LIST_TIMEOUT_SECONDS, threads=1)
    return versions


def measure(
    peer: str,
    model: ConvE,
    *,
    train: Int[Tensor, "rows 3"],
    test: Int[Tensor, "test 3"],
    timing: Timing | None = None,
    python: Path | None = None,
) -> Measured:
    """Measure a peer in a process of its own.

    Parameters
    ----------
    peer
        A key of PEERS.
    train
        Training triples to draw the runs' rows from, from the first one on.
    python
        The interpreter that runs the peer; by default `interpreter()`.

    Raises
    ------
    PeerError
        If the peer is unknown or not installed, fails, takes too long, or is killed, as for want of memory.
    """
    if peer not in PEERS:
        raise PeerError(f"no peer {peer!r}; there are: {', '.join(PEERS)}")
    timing = timing or Timing()
    with tempfile.TemporaryDirectory(prefix="tracin-dask-peer-") as name:
        folder = Path(name)
        torch.save({"state": model.state_dict(), "train": train, "test": test}, folder / "tensors.pt")
        request = {"peer": peer, "config": asdict(model.config), "timing": asdict(timing)}
        (folder / "request.json").write_text(json.dumps(request))
        found = _run(
            ["measure", str(folder)], python, timeout_seconds=timing.timeout_seconds, threads=timing.threads, peer=peer
        )
    speeds = [found["rows"] / seconds for seconds in found["seconds"]]
    return Measured(
        peer=peer,
        version=found["version"],
        num_tests=len(test),
        rows=found["rows"],
        rows_per_second=statistics.median(speeds),
        rows_per_second_min=min(speeds),
        rows_per_second_max=max(speeds),
        prepare_seconds=found["prepare_seconds"],
        peak_bytes=found["peak_bytes"],
    )


def _run(
    arguments: Sequence[str], python: Path | None, *, timeout_seconds: float, threads: int, peer: str = "the peers"
) -> Any:  # noqa: ANN401 - JSON
    command = [str(python or interpreter()), "-P", "-m", "bench_peers.child", *arguments]
    try:
        done = subprocess.run(
            command, env=_environment(threads), capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PeerError(
            f"{peer}: not done after {timeout_seconds:g} seconds; ask for shorter runs or allow more time"
        ) from error
    except OSError as error:
        raise PeerError(f"{peer}: {command[0]} does not run: {error}; {PYTHON_VARIABLE} may name it") from error
    if done.returncode != 0:
        raise PeerError(f"{peer}: {_what_happened(done.returncode)} in {command[0]}\n{done.stderr[-2_000:].strip()}")
    return json.loads(done.stdout)


def _what_happened(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed, most often because memory ran out; take fewer test triples,"
    return f"ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _environment(threads: int) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    return os.environ | KEEP_FREED_MEMORY | counts | {"PYTHONPATH": path}
