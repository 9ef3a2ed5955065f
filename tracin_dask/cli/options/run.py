"""All options of `run`."""

from tracin_dask.cli.options.job import JOB_OPTIONS, JobOptions
from tracin_dask.cli.options.output import OUTPUT_OPTIONS, OutputOptions
from tracin_dask.cli.options.where import WATCHING_OPTIONS, WatchingOptions

RUN_OPTIONS = (*OUTPUT_OPTIONS, *JOB_OPTIONS, *WATCHING_OPTIONS)


class RunOptions(JobOptions, OutputOptions, WatchingOptions):
    """These options, by name."""
