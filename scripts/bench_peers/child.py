"""The process that runs one peer; `measure` starts it. Its standard output is one JSON text."""

import contextlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bench_peers import PEERS
from bench_peers.peer import installed_version
from bench_peers.timing import Timing, time_scorer
from tracin_dask.models.conve.model import ConvE, ConvEConfig


def main(arguments: list[str]) -> None:
    """Answer `versions`, or `measure FOLDER`."""
    with contextlib.redirect_stdout(sys.stderr):  # libraries may print
        answer = versions() if arguments == ["versions"] else measure(Path(arguments[1]))
    print(json.dumps(answer))


def versions() -> dict[str, str | None]:
    """Give the installed version of every peer's library."""
    return {key: installed_version(peer.requirement) for key, peer in PEERS.items()}


def measure(folder: Path) -> dict[str, Any]:
    """Do what the folder's request says."""
    request = json.loads((folder / "request.json").read_text())
    timing, peer = Timing(**request["timing"]), PEERS[request["peer"]]
    version = installed_version(peer.requirement)
    if version is None:
        sys.exit(f"{peer.name} is not installed here: pip install '{peer.requirement}' (docs/peers.md says how)")
    torch.set_num_threads(timing.threads)
    tensors = torch.load(folder / "tensors.pt", weights_only=True)
    model = ConvE(ConvEConfig(**request["config"])).to(tensors["state"]["fc.weight"].dtype).eval()
    model.load_state_dict(tensors["state"])
    start = time.perf_counter()
    score = peer.prepare(model, tensors["test"], folder)
    prepare_seconds = time.perf_counter() - start
    runs = time_scorer(score, tensors["train"], timing)
    return {
        "version": version,
        "rows": runs.rows,
        "seconds": list(runs.seconds),
        "prepare_seconds": prepare_seconds,
        "peak_bytes": peak_bytes(),
    }


def peak_bytes() -> int:
    """Give the most memory that this process has held.

    Linux hands `ru_maxrss` on from the process that started this one; VmHWM is this program's own.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(sys.argv[1:])
