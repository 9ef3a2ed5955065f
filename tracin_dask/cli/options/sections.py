"""Options that belong to a section of the help, and commands that show their help in sections."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import click

from tracin_dask.errors import ConfigError

SECTIONS = ("Model", "Data", "Question", "Ranking", "Output", "Where", "Expert")
"""In the order of the help."""
HELD_OUT = "Held out"
"""The section of what a split holds out; it comes first."""
Function = TypeVar("Function", bound=Callable[..., Any])
Decorator = Callable[[Function], Function]


class SectionOption(click.Option):
    """An option that the help shows in a section."""

    def __init__(self, names: Sequence[str], *, section: str, many: str = "", **attributes: Any) -> None:  # noqa: ANN401 - as click.Option
        """Take the section, and whatever `click.Option` takes.

        An option with `many`, an example of its values, takes all values up to the next option.
        """
        super().__init__(names, multiple=bool(many) or attributes.pop("multiple", False), **attributes)
        self.section = section
        self.many = many


def option_of(section: str) -> Callable[..., Decorator[Any]]:
    """Give `click.option` for the options of a section."""
    return partial(click.option, cls=SectionOption, section=section)


def with_options(*options: Decorator[Any]) -> Decorator[Any]:
    """Add options to a command, in this order."""

    def add(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return add


class SectionedCommand(click.Command):
    """A command with its options in sections, some of which take all values up to the next option."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options section by section; `--help` comes last."""
        lines: dict[str, list[tuple[str, str]]] = {section: [] for section in (HELD_OUT, *SECTIONS, "Help")}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                lines[getattr(parameter, "section", "Help")].append(record)
        for section, records in lines.items():
            if records:
                with formatter.section(section):
                    formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - as click.Command
        """Run the command; messages about an option of the configuration name it as the command line does."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            message = _with_option_name(str(error), self.params)
            if message == str(error):
                raise
            raise ConfigError(message) from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the options of many values in front of each value: --parameters 'fc.*' 'bn2.*'.

        Raises
        ------
        click.BadOptionUsage
            If --test-triple would take an option for a part of a triple, or an option of many values has none.
        """
        examples = {name: getattr(option, "many", "") for option in self.params for name in option.opts}
        many = {name: example for name, example in examples.items() if example}
        if not ctx.resilient_parsing:  # a shell asks for completions of a line that is not complete yet
            _refuse_missing_values(ctx, args, many)
        spread: list[str] = []
        repeated: str | None = None
        for arg in args:
            if _is_option(arg):
                repeated = arg if arg in many else None
                spread += [arg] if repeated is None else []
            else:
                spread += [arg] if repeated is None else [repeated, arg]
        return super().parse_args(ctx, spread)


def _refuse_missing_values(ctx: click.Context, args: Sequence[str], many: Mapping[str, str]) -> None:
    names = {name for option in ctx.command.params for name in option.opts}
    for place, arg in enumerate(args):
        after = args[place + 1 : place + 4]
        if arg == "--test-triple" and any(word.startswith("--") or word in names for word in after):
            raise click.BadOptionUsage(arg, f"{arg} needs a head, a relation and a tail", ctx)
        if arg in many and (not after or _is_option(after[0])):
            raise click.BadOptionUsage(arg, f"{arg} needs at least one {many[arg]}", ctx)


def _with_option_name(message: str, options: Sequence[click.Parameter]) -> str:
    """Write `--top-k must be ...` for `top_k must be ...`."""
    found = re.match(r"(\w+)(?=:| must | takes | is | has )", message)
    names = {option.name: option.opts[0] for option in options}
    return message if found is None or found[1] not in names else names[found[1]] + message[found.end() :]


def _is_option(word: str) -> bool:
    """Tell options from values; a negative number is a value, to be refused as such."""
    return word.startswith("-") and not re.match(r"-\.?\d", word)
