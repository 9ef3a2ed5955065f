"""The user's own truth: a table of training triples, each for one test triple or for all."""

from collections.abc import Sequence

from tracin_dask.places.place import AnyPath
from tracin_dask.report.truth.text import TruthText, read_text
from tracin_dask.report.truth.values import OwnTruth, Triple

COLUMNS = ("test_head", "test_relation", "test_tail", "train_head", "train_relation", "train_tail")
EXPECTED = f"expected six columns ({' '.join(COLUMNS)}) between tabs or commas, or three (a training triple)"


def read_own_truth(path: AnyPath) -> OwnTruth:
    """Read training triples that are true: six columns with the test triple first, or three for all test triples.

    A header is left out where its names are those of the columns, in any case.

    Raises
    ------
    TruthError
        If the file cannot be read, or a row has another number of columns than the first, or an empty one.
    """
    text = read_text(path)
    rows = list(text.rows())
    width = len(rows[0][1])
    parsed = [_parts(text, line, row, width) for line, row in (rows[1:] if _is_header(rows[0][1]) else rows)]
    if width == 3:
        return OwnTruth(everywhere=tuple(dict.fromkeys(_triple(row) for row in parsed)), file=text.file)
    of_test: dict[Triple, dict[Triple, None]] = {}
    for row in parsed:
        of_test.setdefault(_triple(row[:3]), {})[_triple(row[3:])] = None
    return OwnTruth(of_test={test: tuple(known) for test, known in of_test.items()}, file=text.file)


def _is_header(row: Sequence[str]) -> bool:
    names = tuple(name.lower() for name in row)
    return names in {COLUMNS, COLUMNS[3:], ("head", "relation", "tail")}


def _parts(text: TruthText, line: int, row: list[str], width: int) -> list[str]:
    if len(row) not in (3, 6):
        raise text.error(line, text.line(line), f"{len(row)} columns; {EXPECTED}")
    if len(row) != width:
        raise text.error(line, text.line(line), f"{len(row)} columns, but the first line has {width}; {EXPECTED}")
    if not all(row):
        raise text.error(line, text.line(line), f"column {row.index('') + 1} is empty; {EXPECTED}")
    return row


def _triple(parts: Sequence[str]) -> Triple:
    head, relation, tail = parts
    return head, relation, tail
