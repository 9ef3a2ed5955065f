"""What a GPU did while a plan was carried out: how busy it was, and its memory's peak beside what the plan counted."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.figures import Collector
from benchmarks.scoring import Scoring
from benchmarks.settings import Device
from tracin_dask.runs.execute import in_process

MICROSECOND = 1e-6
COPIES = ("Memcpy", "Memset")
"""The profiler lists copies under names that begin so; they are not kernels."""


@dataclass(slots=True)
class Watched:
    """Seconds of the tasks, those in which a kernel ran, and the device's peak while the whole plan was carried out."""

    seconds: float = 0.0
    kernel_seconds: float = 0.0
    peak_bytes: int = 0

    @property
    def busy(self) -> float:
        """The share of the time in which a kernel ran."""
        return self.kernel_seconds / self.seconds


def collect_use(collect: Collector, prefix: str, about: str, job: Scoring, device: Device) -> None:
    """Carry a plan out once more and add the figures of the GPU; a CPU has none."""
    if device == "cpu":
        return
    found, planned = watched_run(job), job.plan.memory.on_device
    collect.figure(f"{prefix}.busy", f"{about}: time in which a kernel ran, as a part", "", [found.busy])
    peak = found.peak_bytes / 2**20
    collect.figure(f"{prefix}.device_peak", f"{about}: peak of the device's memory", "MiB", [peak])
    collect.figure(f"{prefix}.planned", f"{about}: what the plan counts of it", "MiB", [planned / 2**20])
    ratio = planned / found.peak_bytes
    collect.figure(f"{prefix}.plan_per_peak", f"{about}: planned / peak of the device's memory", "×", [ratio])


def watched_run(job: Scoring) -> Watched:
    """Carry a plan out under the profiler, which watches the tasks alone: test triples are prepared before them."""
    found = Watched()
    torch.cuda.reset_peak_memory_stats()
    with _watched_tasks(found):
        job.run()
    found.peak_bytes = torch.cuda.max_memory_allocated()
    return found


def busy_share(work: Callable[[], object]) -> float:
    """Carry something out under the profiler; give the share of its time in which a kernel ran."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return kernel_seconds(trace.events()) / seconds


def kernel_seconds(events: Iterable[Any]) -> float:
    """Add up the time in which at least one kernel ran: kernels of several streams may run at the same time."""
    kernels = (one for one in events if one.device_type == DeviceType.CUDA and not one.name.startswith(COPIES))
    total, end = 0.0, 0.0
    for first, last in sorted((one.time_range.start, one.time_range.end) for one in kernels):
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return total * MICROSECOND


@contextmanager
def _watched_tasks(found: Watched) -> Iterator[None]:
    score_rows = in_process.score_rows

    def watched(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - as the function that it replaces
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as trace:
            start = time.perf_counter()
            scored = score_rows(*given, **named)
            torch.cuda.synchronize()
            found.seconds += time.perf_counter() - start
        found.kernel_seconds += kernel_seconds(trace.events())
        return scored

    with patch.object(in_process, "score_rows", watched):
        yield
