"""All options of `run`."""

from tracin_dask.cli.options.job import JOB_OPTIONS, JobFlags
from tracin_dask.cli.options.output import OUTPUT_OPTIONS, OutputFlags
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.where import WATCHING_OPTIONS, WatchingFlags

RUN_OPTIONS = (*OUTPUT_OPTIONS, *JOB_OPTIONS, *WATCHING_OPTIONS, *TALK_OPTIONS)


class RunFlags(JobFlags, OutputFlags, WatchingFlags):
    """The values of these options, by name."""
