"""Freed blocks are used again, without the page faults that fresh ones cost."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from tracin_dask.runs.execute.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()

def faults_of_one_block():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(4 << 20)  # 16 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

for _ in range(20):
    faults_of_one_block()  # the C library first fills its caches
print(sum(faults_of_one_block() for _ in range(5)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the call is one of the GNU C library")
def test_a_freed_memory_block_is_reused():
    # The nanny's setting, with which every large block goes back to the system at once.
    environment = {"MALLOC_TRIM_THRESHOLD_": "65536", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}

    def faults(choice: str) -> int:
        command = [sys.executable, "-c", PROGRAM, choice]
        return int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)

    kept, returned = faults("keep"), faults("return")
    assert kept < 100  # of 5 × 4,096 pages
    assert returned > 1_000
