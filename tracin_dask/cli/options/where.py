"""The options that say where a run happens, and with which workers."""

from typing import TYPE_CHECKING, TypedDict

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.targets import TARGET
from tracin_dask.cli.options.values import ByteSize
from tracin_dask.limits import MOST_THREADS, MOST_WORKERS
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.runs.options.computing import Device

option = option_of("Where")


class WhereFlags(TypedDict):
    """The values of the options that `run` and `plan` share, by name."""

    cluster: str
    workers: int | None
    threads_per_worker: int | None
    memory_per_worker: int | None
    device: "Device"


class WatchingFlags(TypedDict):
    """The values of the options that only `run` has, by name."""

    performance_report: Place | None


WHERE_OPTIONS = (
    option(
        "--cluster",
        default="auto",
        show_default=True,
        help="auto: this process for small jobs, else workers on the GPUs or CPUs of this machine. Or local; cuda; a "
        "file (.yaml, see `tracin-dask cluster init`); tcp://HOST:PORT; or a scheduler file (.json).",
    ),
    option(
        "--workers",
        type=WholeNumber(most=MOST_WORKERS),
        help="Worker processes on this machine. [default: by the CPUs]",
    ),
    option(
        "--threads-per-worker",
        type=WholeNumber(most=MOST_THREADS),
        help="CPU threads of each worker. [default: CPUs / workers]",
    ),
    option("--memory-per-worker", type=ByteSize(), help="Memory of each worker, e.g. 4GiB. [default: 80 % / workers]"),
    option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto takes a GPU if there is one.",
    ),
)
WATCHING_OPTIONS = (
    option(
        "--performance-report",
        type=TARGET,
        metavar="PATH.html",
        help="Write Dask's timeline of all workers as an HTML page; only for runs on workers.",
    ),
)
