"""A virtual environment for each library, since they do not agree about the versions of others; the command makes them.

From the project's folder: PYTHONPATH=scripts python -P -m bench_peers.environments --help
"""

import argparse
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from packaging.requirements import Requirement

FOLDER_VARIABLE = "TRACIN_DASK_PEERS"
"""Names the folder of the environments; without it, it is `.peers` in the project's folder."""

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("jaxtyping", "numpy", "packaging")
"""What `bench_peers` and the model that it scores import, besides torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """How a library is installed.

    Attributes
    ----------
    requirement
        What to give to pip.
    constraints
        The file of versions, in the project's folder; it has torch.
    without
        Distributions that pip installs with the library and that are removed again.
    """

    requirement: str
    constraints: str = "constraints.txt"
    without: tuple[str, ...] = ()

    def commands(self, python: Path) -> list[list[str]]:
        """Give the commands that fill a new environment.

        torch comes first and alone, so that nothing pulls another build of it.
        """
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        install += ["--constraint", str(ROOT / self.constraints)]
        commands = [[*install, "torch"], [*install, *NEEDED, self.requirement]]
        if self.without:
            commands.append([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *self.without])
        return commands


ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {
        "captum": Environment(requirement="captum>=0.9,<0.10"),
        "kronfluence": Environment(requirement="kronfluence>=1.0,<2"),
        "pydvl": Environment(
            requirement="pydvl[influence]>=0.10,<0.11", constraints="scripts/bench_peers/constraints-pydvl.txt"
        ),
        "dattri": Environment(requirement="dattri>=0.3,<0.4"),
        # torchvision's usual build cannot be loaded beside torch's build for CPUs; transformers, which bergson imports,
        # takes one that is not there, but not one that fails.
        "bergson": Environment(requirement="bergson>=2.5,<2.6", without=("torchvision", "torchaudio")),
    }
)
"""By the library's name on PyPI, which is the name of the environment's folder."""


def folder() -> Path:
    """Give the folder of the environments."""
    return Path(os.environ.get(FOLDER_VARIABLE) or ROOT / ".peers")


def interpreter(requirement: str) -> Path:
    """Give the interpreter that runs a library: that of its environment, or this one where there is none."""
    python = _python(Requirement(requirement).name)
    return python if python.exists() else Path(sys.executable)


def make(name: str) -> None:
    """Make a library's environment anew.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails; it has said why.
    """
    venv.create(folder() / name, clear=True, with_pip=True)
    for command in ENVIRONMENTS[name].commands(_python(name)):
        subprocess.run(command, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make environments; 1 if pip fails."""
    parser = argparse.ArgumentParser(prog="bench_peers.environments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="LIBRARY", help=f"{', '.join(ENVIRONMENTS)}; default: all")
    names = parser.parse_args(arguments).names or list(ENVIRONMENTS)
    for name in names:
        if name not in ENVIRONMENTS:
            parser.error(f"no library {name!r}; there are: {', '.join(ENVIRONMENTS)}")
    for name in names:
        print(f"{ENVIRONMENTS[name].requirement}: {folder() / name}", flush=True)
        try:
            make(name)
        except subprocess.CalledProcessError as error:
            print(f"Error: {name} could not be installed: {' '.join(error.cmd)}", file=sys.stderr)
            return 1
    return 0


def _python(name: str) -> Path:
    return folder() / name / "bin" / "python"


if __name__ == "__main__":
    sys.exit(main())
