"""The `tracin-dask` command: finds each subcommand in a file of its own and imports it only when it is used."""

import gc
import importlib
import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from click.exceptions import NoSuchCommand
from click.shell_completion import CompletionItem

import tracin_dask
from tracin_dask import __version__
from tracin_dask.cli.say import say
from tracin_dask.cli.stopping import exit_stopped, is_stopping, signals_handled
from tracin_dask.errors import TracInDaskError
from tracin_dask.places.explained import why

COMMANDS = {
    "example": "Write a small real graph to try the other commands on.",
    "graph": "Show what is in a graph, and what will hurt.",
    "split": "Split a graph into training, validation and test triples.",
    "ingest": "Turn a text file of triples into a sorted Zarr store.",
    "train": "Train a ConvE on a graph.",
    "plan": "Print the cost of a run without running it.",
    "run": "Find the training triples behind one or many predictions.",
    "predict": "Score and rank triples, or find the best tails or heads.",
    "show": "Print a result again.",
    "report": "Write pages and tables of a result.",
    "evaluate": "Compare a result with known explanations.",
    "paths": "Find the paths from head to tail through influential triples.",
    "validate": "Measure what influence methods are worth, by training again.",
    "submit": "Submit a whole run to Slurm as one job.",
    "convert": "Convert ConvE checkpoints between train_pytorch and PyKEEN.",
    "cluster": "Write, show and test specifications of clusters.",
}


class LazyGroup(click.Group):
    """A group whose commands are imported when called, so that --help answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command's file; it holds a click command named `command`."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"tracin_dask.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; a mistyped name is answered with the nearest names of the table above."""
        try:
            return super().resolve_command(ctx, args)
        except NoSuchCommand as error:
            raise NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run a command; one that is stopped prints one line. What it changes of the package's log ends with it."""
        log = logging.getLogger(tracin_dask.__name__)
        before = (log.level, log.handlers[:])
        try:
            return super().invoke(ctx)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) or is_stopping():
                exit_stopped()
            raise
        finally:
            log.setLevel(before[0])
            log.handlers[:] = before[1]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the commands' names from the table above instead of importing each."""
        commands = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """List the commands from the table above instead of importing each."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="tracin-dask")
def group() -> None:
    """Which training triples made a knowledge-graph model predict this?

    Exact TracIn over all parameters and all training triples: ingest the graph once, then run.

    \b
    Example:
      tracin-dask example umls    # a small graph, and what to do with it
    """


def main() -> None:
    """Run the command line."""
    try:
        call(sys.argv[1:])
    finally:
        gc.freeze()  # all goes with the process: looking for what could be freed takes half a second


def call(words: Sequence[str]) -> None:
    """Run a command line and exit; all that can be expected to fail is printed as one message, without a traceback."""
    with signals_handled():
        try:
            group(list(words))
        except TracInDaskError as error:
            _fail(str(error))
        except OSError as error:
            _fail(f"{f'{error.filename}: ' if error.filename else ''}{why(error)}")
        except RecursionError:
            _fail("an input is nested too deeply: a file of objects within objects is damaged, or made to do harm")


def _fail(message: str) -> NoReturn:
    say(f"Error: {message}", err=True, even_if_quiet=True)
    sys.exit(1)
