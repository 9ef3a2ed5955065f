"""A process that scores training triples one by one, as the existing tool does, in one of its variants.

`python -m benchmarks.claims_loop JOB.json` prints seconds and peak memory as JSON; `LoopJob` says what the job states.
Each variant is what the documentation of that tool describes under the option's name: a forward over all entities, a
backward, a clone of every tracked gradient, and products with the test triples' gradients.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.checkpoint import checkpoint

from benchmarks.memory import forget_peak, peak_bytes
from benchmarks.processes import collected_json, module_command, start
from tracin_dask import load_checkpoint
from tracin_dask.models.conve.model import ConvE

Variant = Literal["plain", "mixed_precision", "gradient_checkpointing", "no_cached_tests", "last_layers"]
LAST_LAYERS = ("fc.weight", "fc.bias")
Gradients = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopJob:
    """What to score; `train` and `tests` are .npy files of triples, as ids."""

    model: str
    train: str
    tests: str
    threads: int
    variant: Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopRun:
    """How it went; the bytes are those of this process, before scoring and at most while it scores."""

    triples_per_second: float
    bytes_before: int
    peak_bytes: int


def run_loop(job: LoopJob, scratch: Path) -> LoopRun:
    """Carry a job out in a process of its own."""
    path = scratch / "loop.json"
    path.write_text(json.dumps(asdict(job)))
    (found,) = collected_json([start(module_command("benchmarks.claims_loop", path))])
    return LoopRun(**found)


def measured(job: LoopJob) -> LoopRun:
    """Carry a job out in this process; the test triples' gradients are made before the clock starts, if kept at all."""
    torch.set_num_threads(job.threads)
    model = load_checkpoint(job.model).model
    if job.variant == "last_layers":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in LAST_LAYERS)
    train, tests = (torch.from_numpy(np.load(path)) for path in (job.train, job.tests))
    _gradients(model, train[0], job.variant)
    before = forget_peak()
    cached = None if job.variant == "no_cached_tests" else [_gradients(model, test, job.variant) for test in tests]
    begin = time.perf_counter()
    for triple in train:
        mine = _gradients(model, triple, job.variant)
        for place in range(len(tests)):
            other = cached[place] if cached is not None else _gradients(model, tests[place], job.variant)
            _product(mine, other)
    seconds = time.perf_counter() - begin
    return LoopRun(triples_per_second=len(train) / seconds, bytes_before=before, peak_bytes=peak_bytes())


def _gradients(model: ConvE, triple: Tensor, variant: Variant) -> Gradients:
    model.zero_grad()
    with _autocast(variant):
        scores = _scores(model, variant)(triple[None, 0], triple[None, 1])
        loss = binary_cross_entropy_with_logits(scores[:, triple[2]].float(), torch.ones(1))
    loss.backward()
    return {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


def _autocast(variant: Variant) -> AbstractContextManager[None]:
    return torch.autocast("cpu", dtype=torch.bfloat16) if variant == "mixed_precision" else nullcontext()


def _scores(model: ConvE, variant: Variant) -> Callable[[Tensor, Tensor], Tensor]:
    if variant != "gradient_checkpointing":
        return model
    return lambda head, relation: checkpoint(model, head, relation, use_reentrant=False)


def _product(mine: Gradients, other: Gradients) -> float:
    return sum(torch.dot(gradient.flatten(), other[name].flatten()).item() for name, gradient in mine.items())


if __name__ == "__main__":
    print(json.dumps(asdict(measured(LoopJob(**json.loads(Path(sys.argv[1]).read_text()))))))
