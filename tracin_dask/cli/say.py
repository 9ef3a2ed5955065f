"""Messages on the terminal: whatever labels and names of files hold, it is shown and not obeyed."""

from collections.abc import Callable

import click

from tracin_dask.visible import visible

QUIET = "tracin_dask.quiet"
"""Where a context of click keeps that only errors and the paths that are written are printed."""
ABOVE_BARS: list[Callable[[str], None]] = []
"""What prints above the progress bar that is shown now; empty where none is."""


def is_quiet() -> bool:
    """Tell whether the running command was given --quiet."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def say(text: str, *, err: bool = False, even_if_quiet: bool = False) -> None:
    """Print a message, to standard error with `err`; nothing under --quiet, unless it is an error."""
    if is_quiet() and not even_if_quiet:
        return
    if err and ABOVE_BARS:
        ABOVE_BARS[-1](visible(text))
    else:
        click.echo(visible(text), err=err)


def say_at_the_end(text: str) -> None:
    """Print what ends the command: not above a bar, since another thread may hold what draws it."""
    click.echo(visible(text), err=True)


def say_written(path: object, what: str = "", *, verb: str = "wrote") -> None:
    """Say what was written (or found); the path alone under --quiet, for programs that read it."""
    if is_quiet():
        click.echo(visible(str(path)))
    else:
        say(f"{verb} {path}: {what}" if what else f"{verb} {path}")
