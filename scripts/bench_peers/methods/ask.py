"""Asks the methods of a library, in the library's environment, for the scores that a study needs."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from bench_peers.environments import interpreter
from bench_peers.methods import METHODS
from bench_peers.process import PeerError, run_child
from tracin_dask.models.conve.model import ConvE

TIMEOUT_SECONDS = 4 * 3600.0
THREADS = 1


def ask(
    methods: Sequence[str],
    checkpoints: Sequence[ConvE],
    *,
    train: Int[ndarray, "row 3"],
    test: Int[ndarray, "test 3"],
    label_smoothing: float,
    into: Path,
) -> Mapping[str, Path]:
    """Let methods of one library write their scores [test, training triple] into a folder.

    Returns
    -------
    :
        The files, by the methods' names with the library's version. Those that lie there already are not made again.

    Raises
    ------
    PeerError
        If a method is unknown, or the library is not installed or fails.
    """
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise PeerError(f"no method {unknown[0]!r}; there are: {', '.join(METHODS)}")
    (python,) = {interpreter(METHODS[name].requirement) for name in methods}
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tracin-dask-methods-") as name:
        tensors = {
            "states": [model.state_dict() for model in checkpoints],
            "train": torch.from_numpy(train.astype(np.int64)),
            "test": torch.from_numpy(test.astype(np.int64)),
        }
        torch.save(tensors, Path(name) / "tensors.pt")
        request = {
            "methods": list(methods),
            "config": asdict(checkpoints[-1].config),
            "label_smoothing": label_smoothing,
            "into": str(into.absolute()),
            "threads": THREADS,
        }
        (Path(name) / "request.json").write_text(json.dumps(request))
        paths = run_child(
            "methods.child", [name], python, timeout_seconds=TIMEOUT_SECONDS, threads=THREADS, peer=methods[0]
        )
    return {label: Path(path) for label, path in paths.items()}
