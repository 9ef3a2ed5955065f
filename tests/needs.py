"""What a machine must have for some tests: without it they are skipped, in CI they fail."""

import importlib.util
import os
import shutil

import pytest


def need(*programs: str, root: bool = False) -> None:
    """Skip where a program is missing; where TRACIN_DASK_ALL_TESTS is set, nothing may be missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if root and os.geteuid() != 0:
        missing.append("the rights of root")
    _skip_or_fail(missing)


def need_packages(*modules: str) -> None:
    """Skip where a package of the dependency group `bench` is not installed; its modules are named."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    _skip_or_fail([f"{module}, which the dependency group `bench` installs" for module in missing])


def _skip_or_fail(missing: list[str]) -> None:
    if missing and not os.environ.get("TRACIN_DASK_ALL_TESTS"):
        pytest.skip(f"needs {', '.join(missing)}")
    assert not missing, f"TRACIN_DASK_ALL_TESTS is set, but this machine lacks {', '.join(missing)}"
