"""Settings of a kind of cluster, each with the function that reads it from a specification file.

A reader takes a YAML node and gives the value, or raises a ValueError that says what is expected.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any, TypeAlias

import yaml

from tracin_dask.sizes import bytes_of

Node: TypeAlias = yaml.Node
Scalar: TypeAlias = str | int | float
_REQUIRED: Any = object()

MOST_DIGITS = 6
"""Of a whole number, such as one of jobs."""
MOST_PORT = 65535
_WALLTIME = re.compile(r"(?:(\d{1,4})-)?(\d{1,3}):(\d{2}):(\d{2})")


def setting(read: Callable[[Node], object], default: Any = _REQUIRED) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Describe a setting by its reader; without a default it is required."""
    metadata = {"read": read}
    return field(metadata=metadata) if default is _REQUIRED else field(default=default, metadata=metadata)


def settings_of(kind: Any) -> Mapping[str, Field[Any]]:  # noqa: ANN401 - as dataclasses.fields
    """Give the settings of a kind of cluster by their names."""
    return {found.name: found for found in fields(kind)}


def required_settings(kind: Any) -> list[str]:  # noqa: ANN401 - as dataclasses.fields
    """Name the settings that have no default."""
    return [name for name, found in settings_of(kind).items() if found.default is MISSING]


def is_scalar(node: Node) -> bool:
    """Tell one value from a list or a block."""
    return bool(node.id == "scalar")


def text(node: Node) -> str:
    """Read one line of text; what YAML would take for a number or a date stays as it is written."""
    written = shell(node)
    if not written.isprintable():  # a line break would begin another line of a job's script
        raise ValueError("expected one line of text without control characters")
    return written


def shell(node: Node) -> str:
    """Read text of one or more lines."""
    if not is_scalar(node) or not node.value.strip():
        raise ValueError("expected text")
    return str(node.value)


def texts(node: Node) -> tuple[str, ...]:
    """Read a list of texts."""
    return tuple(text(entry) for entry in entries(node))


def shell_commands(node: Node) -> tuple[str, ...]:
    """Read a list of commands, each of one or more lines."""
    return tuple(shell(entry) for entry in entries(node))


def scalars(node: Node) -> tuple[tuple[str, Scalar], ...]:
    """Read a block of names with one value each: text, a number, true or false, as YAML takes them."""
    if node.id != "mapping":
        raise ValueError("expected a block of lines `name: value`")
    loaded = yaml.safe_load(yaml.serialize(node))
    if not all(isinstance(name, str) and isinstance(value, Scalar) for name, value in loaded.items()):
        raise ValueError("expected one text, number, true or false per name")
    return tuple(loaded.items())


def entries(node: Node) -> list[Node]:
    """Give the entries of a list."""
    if node.id != "sequence":
        raise ValueError("expected a list, one entry per line after `- `")
    return list(node.value)


def whole_number(node: Node) -> int:
    """Read a whole number from 0 on."""
    written = text(node) if is_scalar(node) else ""
    if not written.isdecimal():
        raise ValueError("expected a whole number")
    if len(written) > MOST_DIGITS:
        raise ValueError(f"expected a whole number of at most {MOST_DIGITS} digits")
    return int(written)


def port(node: Node) -> int:
    """Read the number of a port; 0 is any free one."""
    number = whole_number(node)
    if number > MOST_PORT:
        raise ValueError(f"expected a port from 0 to {MOST_PORT}")
    return number


def count(node: Node) -> int:
    """Read a whole number from 1 on."""
    number = whole_number(node)
    if number < 1:
        raise ValueError("expected a whole number of at least 1")
    return number


def size(node: Node) -> int:
    """Read a size in bytes, with its unit: a number alone means MB to Slurm and bytes to Dask."""
    written = text(node)
    if written.isdecimal():
        raise ValueError(f"expected a size with its unit, such as 16GiB; for Slurm's megabytes write {written}MiB")
    number = bytes_of(written)
    if number is None:
        raise ValueError("expected a size such as 16GiB")
    return number


def choice(*words: str) -> Callable[[Node], str]:
    """Give the reader of one of some words."""

    def read(node: Node) -> str:
        if text(node) not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return text(node)

    return read


def yes_or_no(node: Node) -> bool:
    """Read true or false."""
    if text(node) not in {"true", "false"}:
        raise ValueError("expected true or false")
    return text(node) == "true"


def device_memory(node: Node) -> str:
    """Read a part of a device's memory (0.8) or a size (16GiB); dask-cuda takes both."""
    written = text(node)
    try:
        part = float(written)
    except ValueError:
        size(node)
        return written
    if not 0 < part <= 1:
        raise ValueError("expected a part of the memory such as 0.8, or a size such as 16GiB")
    return written


def walltime(node: Node) -> str:
    """Read HH:MM:SS or D-HH:MM:SS, longer than nothing."""
    written = text(node)
    if _WALLTIME.fullmatch(written) is None or walltime_seconds(written) == 0:
        raise ValueError("expected a time such as 04:00:00 or 1-12:00:00")
    return written


def walltime_seconds(written: str) -> int:
    """Give the seconds of a time as `walltime` reads it."""
    found = _WALLTIME.fullmatch(written)
    assert found is not None, written  # noqa: S101 - was read before
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
