"""The help texts of all commands, and the command lines that they give as examples."""

import re
from collections.abc import Iterator

import click
from pages import lines_of

from tracin_dask.cli.main import group

_EXAMPLES = re.compile(r"^ *Examples?\b.*:\n((?:.*\S.*\n)+)", flags=re.MULTILINE)


def commands_and_groups(
    command: click.Command = group, name: str = "tracin-dask"
) -> Iterator[tuple[str, click.Command]]:
    """Yield all commands and groups of commands with their full names."""
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for word in command.list_commands(context):
            found = command.get_command(context, word)
            assert found is not None
            yield from commands_and_groups(found, f"{name} {word}")


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Yield all commands that have no subcommands, with their full names."""
    return ((name, command) for name, command in commands_and_groups() if not isinstance(command, click.Group))


def examples_of(name: str, command: click.Command) -> list[str]:
    """Return the examples of a help text, as a terminal of 80 columns shows it: one line each."""
    text = command.get_help(click.Context(command, info_name=name, terminal_width=80)) + "\n"
    return [" ".join(line.split()) for block in _EXAMPLES.findall(text) for line in lines_of(block)]


HELP_EXAMPLES = {name: examples_of(name, command) for name, command in commands_and_groups()}
"""The examples of each command and group."""
