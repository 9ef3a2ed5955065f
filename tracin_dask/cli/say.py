"""Messages on the terminal: whatever labels and names of files hold, it is shown and not obeyed."""

import click

from tracin_dask.visible import visible


def say(text: str, *, err: bool = False) -> None:
    """Print a message, to standard error with `err`."""
    click.echo(visible(text), err=err)
