"""Compares the versions of Python and of packages on a cluster's scheduler and workers with those of this process."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tracin_dask.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client

PACKAGES = ("tracin-dask", "torch", "dask", "distributed", "zarr")
"""Packages that scheduler and workers must have, in the versions of the calling process."""


def refuse_other_versions(client: "Client") -> None:
    """Ask the scheduler and all workers of a client for their versions; nothing is sent to them that they must import.

    Raises
    ------
    ClusterError
        If one of them has another Python (major and minor version), or lacks a package, or has it in another version.
    """
    found: Any = client.get_versions(packages=list(PACKAGES))
    here = of_answer(found["client"]["packages"])
    scheduler = getattr(client.scheduler, "address", "")
    answers = {("the scheduler", scheduler): found["scheduler"]} | {
        ("the worker", address): answer for address, answer in found["workers"].items()
    }
    wrong = {who: told for who, answer in answers.items() if (told := differences(here, of_answer(answer["packages"])))}
    if wrong:
        (title, address), told = next(iter(wrong.items()))
        others = f" (and {len(wrong) - 1} other process(es))" if len(wrong) > 1 else ""
        host = urlsplit(address).hostname or address
        raise ClusterError(f"{title} at {address}{others} has {told}; {remedy(host, here)}")


def of_this_process() -> dict[str, str | None]:
    """Give the versions of this process."""
    from distributed.versions import get_versions  # noqa: PLC0415 - distributed is slow to import

    answer: Any = get_versions(packages=list(PACKAGES))
    return of_answer(answer["packages"])


def of_answer(packages: Mapping[str, Any]) -> dict[str, str | None]:
    """Give Python's version and those of the packages, None where one is missing, from an answer of Dask."""
    return {"Python": ".".join(str(packages["python"]).split(".")[:2])} | {name: packages[name] for name in PACKAGES}


def differences(here: Mapping[str, str | None], there: Mapping[str, str | None]) -> str:
    """Name what differs; empty if nothing does. Builds of one version (2.13.0+cpu) count as equal.

    A package that was not installed here as a distribution, but is imported from a folder, has no version to compare.
    """
    return ", ".join(
        f"no {name}" if there[name] is None else f"{name} {there[name]} instead of {version}"
        for name, version in here.items()
        if version is not None and _release(there[name]) != _release(version)
    )


def remedy(host: str, here: Mapping[str, str | None]) -> str:
    """Say how to install there what is here."""
    pins = " ".join(f"{name}=={_release(version)}" for name, version in here.items() if name != "Python" and version)
    return f"on {host}, in an environment with Python {here['Python']}: `pip install {pins}`"


def _release(version: str | None) -> str | None:
    return None if version is None else version.split("+")[0]
