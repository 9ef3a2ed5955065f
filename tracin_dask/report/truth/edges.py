"""Known edges in JSON lines: an object with `subject`, `predicate` and `object` on each."""

import json
import re
from typing import Any

from tracin_dask.places.place import AnyPath
from tracin_dask.report.truth.text import TruthText, read_text
from tracin_dask.report.truth.values import KnownEdges, Triple

KEYS = ("subject", "predicate", "object")
EXPECTED = 'expected a JSON object with texts for "subject", "predicate" and "object"'
_HALF = re.compile("[\ud800-\udfff]")
"""Half of a surrogate pair."""


def read_edges(path: AnyPath) -> KnownEdges:
    """Read known edges; other keys than the three are left out, and an edge that is repeated counts once.

    Raises
    ------
    TruthError
        If the file cannot be read, or a line is no such object.
    """
    text = read_text(path)
    triples = dict.fromkeys(_edge(text, number, line) for number, line in text.lines())
    return KnownEdges(triples=tuple(triples), file=text.file)


def _edge(text: TruthText, number: int, line: str) -> Triple:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise text.error(number, line, EXPECTED) from error
    if not isinstance(found, dict):
        raise text.error(number, line, EXPECTED)
    for key in KEYS:
        value = found.get(key)
        if isinstance(value, str) and _HALF.search(value):
            raise text.error(number, line, f"{EXPECTED}; {key!r} has half of a surrogate pair, which is no letter")
        if not isinstance(value, str) or not value:
            raise text.error(number, line, f"{EXPECTED}; {key!r} is {'missing' if value is None else repr(value)[:60]}")
    subject, predicate, target = (found[key] for key in KEYS)
    return subject, predicate, target
