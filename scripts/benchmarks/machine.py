"""What this machine can do: its float32 matrix product and its memory copy, measured beside every figure."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch

COPY_BYTES = 2**28
ROUNDS = 5


def describe(device: str, threads: int) -> dict[str, Any]:
    """State processor, memory and versions, and the device's name where it is a GPU."""
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "has_bf16_products": _has_bf16_products(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else None,
        "threads": threads,
    }


def measure(device: str, matrix_sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the machine as it is now: the best size's median product in GFLOP/s, copies in GB/s, the load."""
    products = {size: matrix_product_gflops(size, device) for size in matrix_sizes}
    return {
        "matrix_product_gflops": max(products.values()),
        "matrix_product_gflops_by_size": {str(size): speed for size, speed in products.items()},
        "copy_gigabytes_per_second": copy_gigabytes_per_second(device),
        "load_average": list(os.getloadavg()),
    }


def matrix_product_gflops(size: int, device: str = "cpu", rounds: int = ROUNDS) -> float:
    """Multiply two float32 matrices; 10⁹ floating-point operations per second, median of the rounds."""
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    out = torch.empty(size, size, device=device)
    seconds = _median_seconds(lambda: torch.mm(left, right, out=out), device, rounds)
    return 2 * size**3 / seconds / 1e9


def copy_gigabytes_per_second(device: str = "cpu", num_bytes: int = COPY_BYTES, rounds: int = ROUNDS) -> float:
    """Copy memory; bytes read and bytes written both count."""
    source = torch.ones(num_bytes // 4, device=device)
    target = torch.zeros_like(source)
    return 2 * num_bytes / _median_seconds(lambda: target.copy_(source), device, rounds) / 1e9


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given; a CPU has."""
    if device == "cuda":
        torch.cuda.synchronize()


def _median_seconds(work: Callable[[], object], device: str, rounds: int) -> float:
    work()
    seconds = []
    for _ in range(rounds):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _cpu_model() -> str:
    """Name the processor as Linux does, or as Python can elsewhere."""
    listing = Path("/proc/cpuinfo")
    names = (
        [line for line in listing.read_text().splitlines() if line.startswith("model name")] if listing.exists() else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def _has_bf16_products() -> bool:
    """Tell whether the processor multiplies bf16 numbers itself."""
    listing = Path("/proc/cpuinfo")
    flags = listing.read_text() if listing.exists() else ""
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "avx_ne_convert"))
