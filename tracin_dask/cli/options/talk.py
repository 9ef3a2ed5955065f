"""The options that say how much a command prints, for all commands that show progress."""

import logging

import click

from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.say import QUIET, say

_PACKAGE = "tracin_dask"
option = option_of("Output")


class _Said(logging.Handler):
    """Prints records as the command prints messages: above a progress bar, with nothing that a terminal obeys."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        say(self.format(record), err=True, even_if_quiet=True)


def _be_quiet(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    if value:
        context.meta[QUIET] = True
        _log(context, logging.ERROR)


def _set_level(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        _log(context, logging.getLevelNamesMapping()[value.upper()])


def _log(context: click.Context, level: int) -> None:
    """Print the package's log from a level on, until the command ends; the group ends it for one that is refused."""
    logger, handler = logging.getLogger(_PACKAGE), _Said()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    before = (logger.level, logger.handlers[:])
    logger.handlers[:] = [*(one for one in logger.handlers if not isinstance(one, _Said)), handler]
    logger.setLevel(level)

    def restore() -> None:
        logger.setLevel(before[0])
        logger.handlers[:] = before[1]

    context.call_on_close(restore)


TALK_OPTIONS = (
    option(
        "--quiet",
        "-q",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_be_quiet,
        help="Print only errors and the paths that are written, one per line.",
    ),
    option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        expose_value=False,
        callback=_set_level,
        help="Print the log from this level on. [default: warning]",
    ),
)
