"""The process that runs one peer; `process` starts it. Its standard output is one JSON text."""

import contextlib
import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench_peers import PEERS, Peer
from bench_peers.peer import installed_version
from bench_peers.timing import Timing, time_scorer
from tracin_dask.models.conve.model import ConvE, ConvEConfig


def main(arguments: list[str]) -> None:
    """Answer `versions`, `measure FOLDER` or `products FOLDER`."""
    command, *folders = arguments
    answers = {"measure": measure, "products": products}
    with contextlib.redirect_stdout(sys.stderr):  # libraries may print
        answer = answers[command](Path(folders[0])) if folders else versions()
    print(json.dumps(answer))


def versions() -> dict[str, str | None]:
    """Give the installed version of every peer's library."""
    return {key: installed_version(peer.requirement) for key, peer in PEERS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a folder asks: the peer, and the model with the triples."""

    peer: Peer
    version: str
    model: ConvE
    train: Tensor
    test: Tensor
    timing: Timing

    @classmethod
    def read(cls, folder: Path) -> "Request":
        """Read it; the process ends where the peer is not installed."""
        request = json.loads((folder / "request.json").read_text())
        peer = PEERS[request["peer"]]
        version = installed_version(peer.requirement)
        if version is None:
            sys.exit(f"{peer.name} is not installed here: pip install '{peer.requirement}' (docs/peers.md says how)")
        tensors = torch.load(folder / "tensors.pt", weights_only=True)
        model = ConvE(ConvEConfig(**request["config"])).to(tensors["state"]["fc.weight"].dtype).eval()
        model.load_state_dict(tensors["state"])
        timing = Timing(**request["timing"])
        torch.set_num_threads(timing.threads)
        return cls(peer=peer, version=version, model=model, train=tensors["train"], test=tensors["test"], timing=timing)


def measure(folder: Path) -> dict[str, Any]:
    """Time the peer, as the folder's request says."""
    request = Request.read(folder)
    start = time.perf_counter()
    score = request.peer.prepare(request.model, request.test, folder)
    prepare_seconds = time.perf_counter() - start
    runs = time_scorer(score, request.train, request.timing)
    return {
        "version": request.version,
        "rows": runs.rows,
        "seconds": list(runs.seconds),
        "prepare_seconds": prepare_seconds,
        "peak_bytes": peak_bytes(),
    }


def products(folder: Path) -> dict[str, str]:
    """Compute the peer's products, and save them in the folder of the request."""
    request = Request.read(folder)
    found = request.peer.prepare(request.model, request.test, folder)(request.train)
    torch.save(found.detach(), folder / "products.pt")
    return {"version": request.version}


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
