"""From options to the workers that somebody asks for."""

from tracin_dask.cli.options.where import WhereFlags
from tracin_dask.resources import WorkerOptions


def worker_options(options: WhereFlags) -> WorkerOptions:
    """Take the number and the size of workers from the options."""
    return WorkerOptions(
        workers=options["workers"],
        threads_per_worker=options["threads_per_worker"],
        memory_per_worker=options["memory_per_worker"],
    )
