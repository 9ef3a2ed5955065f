"""Tables of Markdown, and their places in a document."""

from collections.abc import Sequence
from pathlib import Path


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_table(document: Path, name: str, table: str) -> None:
    """Replace what lies between the marks of a table.

    Raises
    ------
    ValueError
        If the document has no such marks.
    """
    start, end = f"<!-- {name}: written by scripts/evidence -->", f"<!-- end of {name} -->"
    text = document.read_text()
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{document} needs the lines {start} and {end}, between which the table is written")
    document.write_text(f"{before}{start}\n\n{table}\n\n{end}{after}")
