"""A program that a remote Python reads from its standard input: it tells what this host has.

It needs nothing that may be missing there, and runs on any Python 3: that is what it is to find out.
"""

import json
import os
import sys

MARK = "tracin-dask found: "
"""Before the answer: shells of hosts may print lines of their own."""
PACKAGES = ("tracin-dask", "torch", "dask", "distributed", "zarr")


def main() -> None:
    """Print one line."""
    about = {
        "Python": "{}.{}".format(*sys.version_info[:2]),
        "packages": {name: version(name) for name in PACKAGES},
        "sees_client_as": os.environ.get("SSH_CONNECTION", "").split(" ")[0],
        "machine": machine(),
    }
    sys.stdout.write(MARK + json.dumps(about) + "\n")


def version(name: str) -> "str | None":
    """Give the version of a package; None if it is missing, or this Python is too old to say."""
    try:
        from importlib.metadata import version as found  # noqa: PLC0415 - Python 3.7 has none
    except ImportError:
        return None
    try:
        return found(name)
    except ImportError:
        return None


def machine() -> "dict[str, int] | None":
    """Count CPUs, bytes of memory and GPUs; None without tracin-dask."""
    try:
        from tracin_dask.resources import this_machine  # noqa: PLC0415 - may be missing
    except ImportError:
        return None
    found = this_machine()
    return {"num_cpus": found.num_cpus, "memory_bytes": found.memory_bytes, "num_gpus": found.num_gpus}


if __name__ == "__main__":
    main()
