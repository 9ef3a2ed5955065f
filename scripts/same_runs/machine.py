"""What else decides the bits of an influence: the builds that compute, and the CPU's instructions."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import torch

LIBRARIES = ("torch", "numpy", "pykeen")


def machine() -> dict[str, str]:
    """Describe this interpreter's libraries and this CPU."""
    libraries = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return libraries | {"cpu_capability": torch.backends.cpu.get_cpu_capability(), "cpu": _cpu_model()}


def commit_of_package() -> str:
    """Name the commit of the `tracin_dask` that is imported, and say if files were changed since."""
    import tracin_dask  # noqa: PLC0415 - which one it is depends on PYTHONPATH

    folder = Path(tracin_dask.__file__).parent
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return f"{commit} with changes" if _git(folder, "status", "--porcelain", "--", ".") else commit
    except (OSError, subprocess.CalledProcessError):  # an installed package, or no git
        return f"no commit ({folder})"


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _cpu_model() -> str:
    """Give the name, family, model and stepping; a name alone may stand for several generations."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return platform.processor() or platform.machine()
    pairs = (line.partition(":") for line in path.read_text(encoding="utf-8").split("\n\n")[0].splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model", "stepping") if key in facts]
    return " ".join([facts.get("model name", platform.machine()), *numbers])
