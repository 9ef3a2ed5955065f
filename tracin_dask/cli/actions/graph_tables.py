"""What is in a graph, as tables on the terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracin_dask.triples.preparing.relation_table import Other
from tracin_dask.triples.preparing.survey import Survey, counts
from tracin_dask.visible import visible

LIKELY = 0.05
"""A relation that has a smaller part of the triples backwards is no likely inverse."""


def graph_tables(survey: Survey, *, rows: int) -> RenderableType:
    """Show counts, degrees, hubs, relations and types, at most `rows` of each."""
    parts = [_numbers(survey), _hubs(survey, rows), _relations(survey, rows)]
    has_types = len(survey.types) > 1 or any(row.prefix for row in survey.types)
    return Group(*parts, *([_types(survey, rows)] if has_types else []))


def _numbers(survey: Survey) -> Table:
    degrees = survey.degrees
    table = _table("Counts", ["what"], ["number"])
    for what, number in counts(survey).items():
        table.add_row(what, f"{number:,}")
    for what, value in (
        ("triples per entity: least", degrees.least),
        ("median", degrees.median),
        ("mean", degrees.mean),
        ("90 of 100 have at most", degrees.percentile_90),
        ("99 of 100 have at most", degrees.percentile_99),
        ("most", degrees.most),
    ):
        table.add_row(what, f"{value:,.1f}" if value % 1 else f"{value:,.0f}")
    return table


def _hubs(survey: Survey, rows: int) -> Table:
    number = survey.lines - survey.duplicates
    table = _table("Entities with the most triples", ["entity"], ["triples", "share"])
    for entity in survey.degrees.hubs[:rows].tolist():
        degree = int(survey.degrees.of_entity[entity])
        table.add_row(Text(visible(survey.entity(entity))), f"{degree:,}", f"{degree / number:.1%}")
    return table


def _relations(survey: Survey, rows: int) -> Table:
    title = _title("Relations", len(survey.relations), rows)
    table = _table(title, ["relation"], ["triples", "heads", "tails", "sym."])
    table.add_column("likely inverse", overflow="fold")
    for row in survey.relations[:rows]:
        table.add_row(
            Text(visible(survey.relation(row.relation))),
            *(f"{number:,}" for number in (row.triples, row.heads, row.tails)),
            f"{row.symmetric:.0%}",
            Text(_other(survey, row.inverse)),
        )
    return table


def _other(survey: Survey, other: Other | None) -> str:
    """Name a relation and the part of the triples that it has backwards, unless that is small."""
    return (
        "" if other is None or other.share < LIKELY else f"{visible(survey.relation(other.relation))} {other.share:.0%}"
    )


def _types(survey: Survey, rows: int) -> Table:
    table = _table(_title("Types, by prefix", len(survey.types), rows), ["prefix"], ["entities", "as head", "as tail"])
    for row in survey.types[:rows]:
        numbers = (row.entities, row.triples_as_head, row.triples_as_tail)
        table.add_row(Text(visible(row.prefix or "(none)")), *(f"{number:,}" for number in numbers))
    return table


def _title(what: str, number: int, rows: int) -> str:
    return what if number <= rows else f"{what}: the first {rows:,} of {number:,}"


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for column in texts:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right")
    return table
