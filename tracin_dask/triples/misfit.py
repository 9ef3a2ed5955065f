"""What a file of another shape looks like, and the options that read it: one message."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import Place
from tracin_dask.triples.fields import MalformedLineError, OpenQuoteError, split_line
from tracin_dask.triples.header import roles_of
from tracin_dask.triples.shape import DELIMITERS, ROLES

PLURALS = {"\t": "tabs", ",": "commas", " ": "spaces", ";": "semicolons", "|": "pipes"}
_USUAL = 0.8
_SHOWN_NAMES = 20
_SHOWN_CHARACTERS = 200


def split_or_nothing(line: str, delimiter: str) -> list[str]:
    """Split a line; one that cannot be split has no fields."""
    try:
        return split_line(line, delimiter)
    except (MalformedLineError, OpenQuoteError):
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the first lines of a file look like: most have `number` columns between delimiters."""

    delimiter: str
    number: int
    first: list[str]

    @property
    def found(self) -> str:
        """Describe the columns."""
        return f"{self.number} column{'s' * (self.number != 1)} separated by {PLURALS[self.delimiter]}"

    @property
    def options(self) -> str:
        """The options that read the file."""
        roles, words = roles_of(self.first), list[str]()
        if roles is not None and not any("," in self.first[column] for column in roles):
            words = ["--columns", ",".join(self.first[column].strip() for column in roles)]
        elif self.number != len(ROLES):
            words = ["--columns", "1,2,3"]
        if self.delimiter != "\t":
            words += ["--delimiter", "space" if self.delimiter == " " else self.delimiter]
        return shlex.join(words)


def look_at(lines: Sequence[str]) -> Look | None:
    """Find the delimiter that cuts most lines into the same number of columns; None if they have only one."""
    best: Look | None = None
    for delimiter in DELIMITERS.values():
        rows = [split_or_nothing(line, delimiter) for line in lines]
        number, times = Counter(map(len, rows)).most_common(1)[0]
        is_better = best is None or best.number < len(ROLES) <= number
        if number > 1 and times >= _USUAL * len(rows) and is_better:
            best = Look(delimiter=delimiter, number=number, first=rows[0])
    return best


def misfit(place: Place, lines: Sequence[str], *, expected: str, count: int | None = None) -> TriplesError:
    """Return the error for a file whose first lines are not as expected."""
    look = look_at(lines)
    shown = lines[0][:_SHOWN_CHARACTERS]
    if look is None:
        return TriplesError(f"{place}: no columns found in lines like {shown!r}; expected {expected}")
    if count is not None:
        delimiter = "" if look.delimiter == "\t" else " --delimiter space"
        return TriplesError(
            f"{place}: line 1 is the number {count:,}, and {look.found} follow, as OpenKE writes head, tail, relation; "
            f"expected {expected}. Read it with `--columns 1,3,2{delimiter}`"
        )
    if look.number < len(ROLES):
        return TriplesError(f"{place}: {look.found} found, such as {shown!r}; expected {expected}")
    remedy = f"Read it with `{look.options}`, where --columns names those of head, relation and tail"
    if not look.options:
        remedy = (
            "It needs neither --columns nor --delimiter; if another file of the command does, `tracin-dask ingest` that"
            " one first, and give its store"
        )
    return TriplesError(f"{place}: {look.found} found, such as {shown!r}; expected {expected}. {remedy}")


def no_such_column(place: Place, name: str, names: Sequence[str]) -> TriplesError:
    """Return the error for a column that a file does not have, or has twice."""
    reason = "stands there more than once" if names.count(name) > 1 else "is not among them"
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    return TriplesError(
        f"{place}: the columns are {', '.join(names[:_SHOWN_NAMES])}{more}; {name!r} {reason}; "
        "--columns takes the three names or numbers of head, relation and tail"
    )
