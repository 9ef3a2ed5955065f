"""`tracin-dask plan`: prints the cost of a run without running it."""

from typing import Unpack

import click

from tracin_dask.cli.options.job import JOB_OPTIONS, JobFlags
from tracin_dask.cli.options.sections import SectionedCommand, option_of, with_options


@click.command(cls=SectionedCommand, no_args_is_help=True)
@with_options(*JOB_OPTIONS)
@option_of("Output")(
    "--verbose", is_flag=True, help="Print also tasks, engine, the parts of the memory, and multiply-adds."
)
def command(*, verbose: bool, **options: Unpack[JobFlags]) -> None:
    """Print how long `run` takes with the same options, except those of the output, and the memory of a worker.

    The time follows from the measured speed of the last run on this machine, if one is recorded in --cache-dir, and
    else from a built-in cost model; the output says from which.

    A text file given as --train is ingested and cached, as `run` does. Nothing is scored. A running cluster is asked
    for its size; no other cluster is started.

    \b
    Examples:
      tracin-dask plan --model-path model.pt --train graph.zarr --test test.txt
      tracin-dask plan --model-path model.pt --train graph.zarr \\
          --test test.txt --cluster slurm.yaml --verbose
    """
    from tracin_dask.cli.actions.plan import show_plan  # noqa: PLC0415 - torch is slow to import

    show_plan(options, is_verbose=verbose)
