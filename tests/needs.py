"""What a machine must have for some tests: without it they are skipped, in CI they fail."""

import os
import shutil

import pytest


def need(*programs: str, root: bool = False) -> None:
    """Skip where a program is missing; where TRACIN_DASK_ALL_TESTS is set, nothing may be missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if root and os.geteuid() != 0:
        missing.append("the rights of root")
    if missing and not os.environ.get("TRACIN_DASK_ALL_TESTS"):
        pytest.skip(f"needs {', '.join(missing)}")
    assert not missing, f"TRACIN_DASK_ALL_TESTS is set, but this machine lacks {', '.join(missing)}"
