"""`tracin-dask plan`: prints the cost of a run without running it."""

from typing import Unpack

import click

from tracin_dask.cli.options.job import JOB_OPTIONS, JobFlags
from tracin_dask.cli.options.sections import SectionedCommand, with_options


@click.command(cls=SectionedCommand, no_args_is_help=True)
@with_options(*JOB_OPTIONS)
def command(**options: Unpack[JobFlags]) -> None:
    """Print tasks, memory, engine and multiply-adds of `run` with the same options.

    A text file given as --train is ingested and cached, as `run` does. Nothing is scored. A running cluster is asked
    for its size; no other cluster is started.
    """
    from tracin_dask.cli.actions.plan import show_plan  # noqa: PLC0415 - torch is slow to import

    show_plan(options)
