"""Training triples per second and peak memory of a peer, measured in a process of its own."""

import json
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bench_peers import PEERS
from bench_peers.environments import interpreter
from bench_peers.process import PeerError, run_child
from bench_peers.timing import Timing
from tracin_dask.models.conve.model import ConvE

LIST_TIMEOUT_SECONDS = 120.0


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


def installed() -> Mapping[str, str | None]:
    """Give the installed version of every peer's library; None where none, or none of the range, is installed.

    Raises
    ------
    PeerError
        If an interpreter cannot be asked.
    """
    pythons = {key: interpreter(peer.requirement) for key, peer in PEERS.items()}
    answers = {
        python: run_child("child", ["versions"], python, timeout_seconds=LIST_TIMEOUT_SECONDS, threads=1)
        for python in dict.fromkeys(pythons.values())
    }
    return {key: answers[python][key] for key, python in pythons.items()}


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
        The interpreter that runs the peer; by default that of its environment.

    Raises
    ------
    PeerError
        If the peer is unknown or not installed, fails, takes too long, or is killed, as for want of memory.
    """
    timing = timing or Timing()
    with _requested(peer, model, train=train, test=test, timing=timing) as folder:
        found = _asked("measure", peer, folder, timing, python)
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


def products(
    peer: str, model: ConvE, *, train: Int[Tensor, "rows 3"], test: Int[Tensor, "test 3"]
) -> Float[Tensor, "rows test"]:
    """Let a peer compute its products in a process of its own; raises as `measure`."""
    timing = Timing()
    with _requested(peer, model, train=train, test=test, timing=timing) as folder:
        _asked("products", peer, folder, timing, None)
        found: Tensor = torch.load(folder / "products.pt", weights_only=True)
    return found


@contextmanager
def _requested(peer: str, model: ConvE, *, train: Tensor, test: Tensor, timing: Timing) -> Iterator[Path]:
    """Write a request into a folder that lasts until the block ends."""
    if peer not in PEERS:
        raise PeerError(f"no peer {peer!r}; there are: {', '.join(PEERS)}")
    with tempfile.TemporaryDirectory(prefix="tracin-dask-peer-") as name:
        folder = Path(name)
        torch.save({"state": model.state_dict(), "train": train, "test": test}, folder / "tensors.pt")
        request = {"peer": peer, "config": asdict(model.config), "timing": asdict(timing)}
        (folder / "request.json").write_text(json.dumps(request))
        yield folder


def _asked(command: str, peer: str, folder: Path, timing: Timing, python: Path | None) -> Any:  # noqa: ANN401 - JSON
    python = python or interpreter(PEERS[peer].requirement)
    arguments = [command, str(folder)]
    return run_child(
        "child", arguments, python, timeout_seconds=timing.timeout_seconds, threads=timing.threads, peer=peer
    )
