"""The specification files that come with the package, one per kind, to be copied and edited."""

from importlib.resources import files
from pathlib import Path

from tracin_dask.clusters.kinds import KINDS
from tracin_dask.errors import ConfigError


def template(kind: str) -> str:
    """Give the text of a kind's specification file.

    Raises
    ------
    ConfigError
        If there is no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of cluster {kind!r}; expected one of {', '.join(KINDS)}")
    return (_folder() / f"{kind}.yaml").read_text(encoding="utf-8")


def _folder() -> Path:
    """Find the files in an installed package, or in the checkout."""
    package = Path(str(files("tracin_dask")))
    installed = package / "cluster"
    return installed if installed.is_dir() else package.parent / "cluster"
