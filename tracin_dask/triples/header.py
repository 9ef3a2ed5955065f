"""Names of columns: which are head, relation and tail, and which first lines are headers."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.triples.idmap import bare_integers
from tracin_dask.triples.lines import Table

_ENDS = (
    ("head", "tail"),
    ("head_id", "tail_id"),
    ("head_entity", "tail_entity"),
    ("h", "t"),
    ("subject", "object"),
    ("subject_id", "object_id"),
    ("subj", "obj"),
    ("s", "o"),
    ("source", "target"),
    ("source_id", "target_id"),
    ("src", "dst"),
    ("from", "to"),
    ("x_index", "y_index"),  # of PrimeKG, whose x_id and y_id are only unique within their source
    ("x_id", "y_id"),
    ("node1", "node2"),
    ("entity1", "entity2"),
    (":start_id", ":end_id"),
    ("start", "end"),
)
_RELATIONS = (
    "relation",
    "predicate",
    "rel",
    "r",
    "pred",
    "p",
    "edge",
    "edge_type",
    "metaedge",
    "relationship",
    "interaction",
    "property",
    ":type",
    "type",
    "relation_id",
    "label",
)
"""In the order of preference, where a header has several."""
_USUAL_NAMES = "these are usual names of columns"
_FEWEST_ROWS = 100
_FEWEST_INTEGER_ROWS = 10


def roles_of(names: Sequence[str]) -> tuple[int, int, int] | None:
    """Find the columns of head, relation and tail by their usual names; None where they have others."""
    known = [name.strip().lower() for name in names]
    relation = next((name for name in _RELATIONS if known.count(name) == 1), None)
    for head, tail in _ENDS:
        if relation is not None and known.count(head) == known.count(tail) == 1:
            return known.index(head), known.index(relation), known.index(tail)
    return None


def header_reason(start: Table, more: Callable[[], Table]) -> str | None:
    """Say why the first row looks like a header; None where it looks like a triple.

    `start` holds the first rows, `more` reads many. A first row of usual names of columns is a header, and one of words
    above integers. One whose three labels occur nowhere else is, too, if there are a hundred rows or more and no other
    relation occurs only once: real rows are so in less than 1 of 300 samples of a hundred rows of five public graphs,
    and in none of the whole graphs.
    """
    if not len(start.line_index) or start.line_index[0] != 0:
        return None
    first = [column[0].as_py() for column in start.columns[:3]]
    is_word = roles_of(first) is not None
    if is_word and max(map(len, first)) > 1:
        return _USUAL_NAMES
    if not _is_alone(start, first) or (bare_integers(pa.array(first, pa.string())) >= 0).any():
        return None
    if is_word:  # of one letter, such as h, r, t
        return _USUAL_NAMES
    if _is_above_integers(start):
        return "the lines below it hold integers"
    return "its three labels occur nowhere else" if _is_only_single_relation(more(), first) else None


def _is_alone(table: Table, first: Sequence[str]) -> bool:
    """Tell whether the labels of the first row occur in no other row."""
    head, relation, tail = (column.slice(1) for column in table.columns[:3])
    among = [(first[0], head), (first[0], tail), (first[2], head), (first[2], tail), (first[1], relation)]
    return first[0] != first[2] and not any(pc.any(pc.equal(column, label)).as_py() for label, column in among)


def _is_above_integers(table: Table) -> bool:
    head, relation, tail = (bare_integers(column.slice(1)) >= 0 for column in table.columns[:3])
    number = len(head)
    if not number or not (head.all() and tail.all()):
        return False
    return bool(relation.all()) or number >= _FEWEST_INTEGER_ROWS


def _is_only_single_relation(table: Table, first: Sequence[str]) -> bool:
    if len(table.line_index) < _FEWEST_ROWS or not _is_alone(table, first):
        return False
    times = np.asarray(pc.value_counts(table.columns[1]).field("counts"))
    return int((times == 1).sum()) == 1
