"""Known paths in a table: a drug, a disease, the list of intermediates between them, and the id of the path."""

import ast
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tracin_dask.places.place import AnyPath
from tracin_dask.report.truth.text import TruthText, read_text
from tracin_dask.report.truth.values import KnownPath, KnownPaths

NAMES = {
    "drug": ("drug", "drug_id", "drug_curie", "drug_label", "compound", "chemical"),
    "disease": ("disease", "disease_id", "disease_curie", "disease_label", "indication"),
    "intermediates": ("intermediates", "intermediate", "intermediate_nodes", "intermediate_entities", "path", "nodes"),
    "predicates": ("predicates", "relations"),
    "path_id": ("drugmechdb_path_id", "path_id", "drugmechdb_id", "id"),
}
"""The names that the header may give each column, in any case, with blanks, hyphens or underscores."""
EXAMPLE = 'Drug,Disease,Intermediates,drugmechdb_path_id and rows like CHEBI:1,MONDO:2,"[NCBIGene:3, GO:4]",DB1_2'
NEEDED = ("drug", "disease", "intermediates")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """Which column is what."""

    places: dict[str, int]
    width: int

    @property
    def lists(self) -> list[int]:
        """The columns that hold lists."""
        return [self.places[kind] for kind in ("intermediates", "predicates") if kind in self.places]


def read_paths(path: AnyPath) -> KnownPaths:
    """Read known paths; a pair may have several, and all are kept.

    Raises
    ------
    TruthError
        If the file cannot be read, its header names no drug, disease or intermediates, or a row has another form.
    """
    text = read_text(path)
    rows = text.rows()
    number, first = next(rows)
    header = _header(text, number, first)
    return KnownPaths(paths=tuple(_path(text, header, line, row) for line, row in rows), file=text.file)


def _header(text: TruthText, number: int, row: Sequence[str]) -> _Header:
    if len(row) >= 3 and row[2].startswith("[") and not row[-1].endswith("]"):
        row = _joined(row, [2])
    known = {re.sub(r"[^a-z]", "", name): kind for kind, names in NAMES.items() for name in names}
    kinds = ["intermediates" if _is_list(name) else known.get(re.sub(r"[^a-z]", "", name.lower())) for name in row]
    for kind in NAMES:
        if kinds.count(kind) > 1:
            raise text.error(number, text.line(number), f"two columns could be the {kind}; name only one of them so")
    missing = [kind for kind in NEEDED if kind not in kinds]
    if missing:
        accepted = "; ".join(f"{kind}: {', '.join(NAMES[kind])}" for kind in missing)
        why = f"the header has no column for {' and '.join(missing)} ({accepted}); expected a header like {EXAMPLE}"
        raise text.error(number, text.line(number), why)
    return _Header(places={kind: place for place, kind in enumerate(kinds) if kind is not None}, width=len(row))


def _path(text: TruthText, header: _Header, line: int, row: Sequence[str]) -> KnownPath:
    fields = _joined(row, header.lists)
    if len(fields) != header.width:
        why = f"{len(fields)} columns, but the header has {header.width}; expected rows like those of {EXAMPLE}"
        raise text.error(line, text.line(line), why)
    found = {kind: fields[place] for kind, place in header.places.items()}
    for kind in ("drug", "disease"):
        if not found[kind]:
            raise text.error(line, text.line(line), f"the {kind} is empty; expected a label")
    drug, disease = found["drug"], found["disease"]
    between = _list(text, line, found["intermediates"])
    steps = _list(text, line, found["predicates"]) if found.get("predicates") else None
    between = between[1:] if between[:1] == (drug,) else between
    between = between[:-1] if between[-1:] == (disease,) else between
    if steps is not None and len(steps) != len(between) + 1:
        why = (
            f"{len(steps)} predicates for {len(between) + 1} steps from the drug to the disease; expected one for each"
        )
        raise text.error(line, text.line(line), why)
    path_id = found.get("path_id", "")
    return KnownPath(drug=drug, disease=disease, intermediates=between, predicates=steps, path_id=path_id)


def _is_list(field: str) -> bool:
    return field.startswith("[") and field.endswith("]")


def _joined(row: Sequence[str], lists: Sequence[int]) -> list[str]:
    """Put a list together again whose commas were read as those between columns, for lack of quotes."""
    fields = list(row)
    for place in sorted(lists):
        if place < len(fields) and fields[place].startswith("["):
            end = next((end for end in range(place, len(fields)) if fields[end].endswith("]")), place)
            fields[place : end + 1] = [", ".join(fields[place : end + 1])]
    return fields


def _parts(inner: str) -> tuple[str, ...]:
    """Split the inside of a list: texts as Python writes them, in quotes of either kind, or texts without quotes."""
    if inner[0] not in "'\"":
        return tuple(part.strip() for part in next(csv.reader([inner], quoting=csv.QUOTE_NONE, strict=True)))
    found = ast.literal_eval(f"[{inner}]")
    if not all(isinstance(part, str) for part in found):
        raise ValueError("a part is no text in quotes")
    return tuple(part.strip() for part in found)


def _list(text: TruthText, line: int, field: str) -> tuple[str, ...]:
    """Read `[A, B]`, with or without quotes around the parts; an empty field is an empty list."""
    inner = field[1:-1].strip() if _is_list(field) else field
    if not inner:
        return ()
    if not _is_list(field) or inner.startswith("["):
        raise text.error(
            line, text.line(line), f"{field[:60]!r} is no list; expected one like [NCBIGene:3, GO:4] or []"
        )
    try:
        found = _parts(inner)
    except (ValueError, SyntaxError, csv.Error) as error:
        raise text.error(line, text.line(line), f"{field[:60]!r} is no list: {error}") from error
    if not all(found):
        raise text.error(line, text.line(line), f"{field[:60]!r} has an empty part; expected a label between commas")
    return found
