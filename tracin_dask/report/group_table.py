"""The totals of groups of training triples as tables on the terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracin_dask.report.groups import GroupInfluences
from tracin_dask.report.result import InfluenceResult
from tracin_dask.visible import visible

TOTALS_MEANING = "Sums over all training triples of a group; net: positive plus negative influences."


def largest_groups(result: InfluenceResult, test_index: int = 0, *, rows: int = 10) -> RenderableType:
    """Show the largest groups of each grouping, at most `rows` of each."""
    tables = [_table(result, found, test_index, rows) for found in result.groups]
    return Group(*tables, Text(TOTALS_MEANING, style="dim"))


def _table(result: InfluenceResult, found: GroupInfluences, test_index: int, rows: int) -> Table:
    largest = found.table(test_index, result.run["rank_by"], most=rows).to_pylist()
    number = found.num_groups
    by = visible(found.group_by)
    title = f"Groups by {by}: {number:,}"
    if number > len(largest):
        title = f"Groups by {by}: the {len(largest)} largest of {number:,}"
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    table.add_column("#", justify="right")
    for column in ("net", "positive", "negative", "triples"):
        table.add_column(column, justify="right")
    table.add_column("group", overflow="fold")
    for place, group in enumerate(largest, start=1):
        sums = [f"{group[f'{side}_influence']:+.3e}" for side in ("net", "positive", "negative")]
        name = visible(group["group_name"] or group["group_label"])
        table.add_row(str(place), *sums, f"{group['num_training_triples']:,}", Text(name))
    return table
