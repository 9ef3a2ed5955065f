"""Files of nodes as KGX writes them: an id and a name, in JSON lines or below a header."""

import json
from collections.abc import Iterator

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import Place
from tracin_dask.triples.fields import is_unicode
from tracin_dask.triples.lines import read_blocks
from tracin_dask.triples.opening import head_of

_HEAD_BYTES = 64 << 10
_ID, _NAME = "id", "name"


def has_nodes(path: Place) -> bool:
    """Tell whether a file holds nodes, by its first line."""
    first = _first_line(path)
    return (first.startswith("{") and "\t" not in first) or {_ID, _NAME} <= set(first.split("\t"))


def read_nodes(path: Place) -> Iterator[tuple[str, str, int]]:
    """Read the id, the name and the line of every node; a name may be empty, and has single blanks.

    Raises
    ------
    TriplesError
        If a line is not JSON, or has no id.
    """
    first = _first_line(path)
    header = None if first.startswith("{") else first.split("\t")
    lines_before = int(header is not None)
    for block in read_blocks(path, skip_lines=lines_before):
        number = block.first_line + 1 + lines_before
        for line, raw in enumerate(block.data.removesuffix(b"\n").split(b"\n"), start=number):
            node = _node(raw, header)
            if node is None:
                shown = raw[:200].decode(errors="backslashreplace")
                raise TriplesError(f"{path}, line {line}: {shown!r}: expected a node with an id, and a name or none")
            yield *node, line


def _first_line(path: Place) -> str:
    return head_of(path, _HEAD_BYTES).split(b"\n")[0].removesuffix(b"\r").decode(errors="replace")


def _node(raw: bytes, header: list[str] | None) -> tuple[str, str] | None:
    """Return the id and the name; None if there is no id."""
    try:
        text = raw.decode().removesuffix("\r")
        node = json.loads(text) if header is None else dict(zip(header, text.split("\t"), strict=True))
    except (ValueError, RecursionError):
        return None
    if not isinstance(node, dict):
        return None
    label, name = node.get(_ID), node.get(_NAME) or ""
    if not (isinstance(label, str) and label and isinstance(name, str)):
        return None
    return (label, " ".join(name.split())) if is_unicode(label + name) else None
