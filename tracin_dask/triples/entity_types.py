"""The types of entities, from a file."""

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath
from tracin_dask.triples.lines import read_table


def read_entity_types(path: AnyPath) -> dict[str, str]:
    """Read the types of entities by their labels, from lines of `label TAB type`; the file may be compressed.

    Raises
    ------
    TriplesError
        If a line is malformed, or a label has two types; the message names the file and the line.
    """
    table = read_table(path, 2, expected="label TAB type")
    types = dict[str, str]()
    for row, (label, name) in enumerate(zip(*(column.to_pylist() for column in table.columns), strict=True)):
        if types.setdefault(label, name) != name:
            raise TriplesError(
                f"{path}, line {table.line_index[row] + 1}: {label!r} has a second type, {name!r} after "
                f"{types[label]!r}; expected one line for each label"
            )
    return types
