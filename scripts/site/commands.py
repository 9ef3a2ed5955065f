"""The reference of commands, made from the commands themselves: a page for each, with its subcommands and options."""

import html
import inspect
import re
from collections.abc import Iterator

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tracin_dask.cli.main import COMMANDS, group
from tracin_dask.cli.options.sections import HELD_OUT, SECTIONS

PROGRAM = "tracin-dask"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, text in pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def pages() -> dict[str, str]:
    """Return the text of each page by its name."""
    rows = "\n".join(f"| [`{PROGRAM} {name}`]({name}.md) | {html.escape(text)} |" for name, text in COMMANDS.items())
    table = f"| command | what it does |\n|---|---|\n{rows}"
    options = _options(click.Context(group, info_name=PROGRAM))
    found = {"commands": "\n\n".join(("# Commands", _described(group), table, options))}
    for name, command in _commands(click.Context(group)):
        found[name] = "\n\n".join(_sections(command, f"{PROGRAM} {name}", "#"))
    return found


def _commands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Yield the commands of a group with their names."""
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None:
                yield name, command


def _sections(command: click.Command, name: str, level: str) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"{level} {name}"
    yield f"```text\n{name} {usage}\n```"
    yield _described(command)
    yield _options(context, level + "#")
    for word, found in _commands(context):
        yield from _sections(found, f"{name} {word}", level + "#")


def _described(command: click.Command) -> str:
    r"""Return the help of a command: paragraphs, and what follows a \b as it is written."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        if not paragraph.startswith("\b\n"):
            parts.append(_marked(" ".join(paragraph.split())))
            continue
        lines = paragraph.removeprefix("\b\n").splitlines()
        if lines[0].endswith(":"):
            parts.append(_marked(lines.pop(0)))
        parts.append("```text\n" + "\n".join(line.removeprefix("  ") for line in lines) + "\n```")
    return "\n\n".join(parts)


def _options(context: click.Context, level: str = "##") -> str:
    """Return the options as lists, one for each section of the help, with an anchor at each option."""
    prefix = "-".join(str(context.info_name).split()[2:])  # two subcommands may have options of one name
    lists: dict[str, list[str]] = {section: [] for section in (HELD_OUT, *SECTIONS, "Options")}
    for parameter in context.command.get_params(context):
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record is not None:
            name, text = html.escape(record[0]), _marked(record[1])
            item = f'<dt id="{prefix}{max(parameter.opts, key=len)}"><code>{name}</code></dt><dd>{text}</dd>'
            lists[getattr(parameter, "section", "Options")].append(item)
    return "\n\n".join(
        f"{level} {title}\n\n<dl>\n" + "\n".join(items) + "\n</dl>" for title, items in lists.items() if items
    )


def _marked(text: str) -> str:
    """Return a text of the help as HTML; what stands in backticks, and an option, is code."""
    code = re.compile(r"`([^`]+)`|(?<![\w-])(--[a-z][a-z-]*[a-z])")
    return code.sub(lambda found: f"<code>{found[1] or found[2]}</code>", html.escape(text, quote=False))
