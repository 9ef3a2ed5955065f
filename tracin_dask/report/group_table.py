"""The totals of groups of training triples as tables on the terminal."""

from rich.console import Group, RenderableType
from rich.text import Text

from tracin_dask.report.fitted import Column, FittedTable, FittedTables
from tracin_dask.report.groups import GroupInfluences
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.scale import Scale
from tracin_dask.visible import visible

TOTALS_MEANING = "Sums over all training triples of a group; net: positive plus negative influences."


def largest_groups(result: InfluenceResult, test_index: int = 0, *, rows: int = 10) -> RenderableType:
    """Show the largest groups of each grouping, at most `rows` of each."""
    tables = [FittedTables(tables=[_table(result, found, test_index, rows)]) for found in result.groups]
    return Group(*tables, Text(TOTALS_MEANING, style="dim"))


def _table(result: InfluenceResult, found: GroupInfluences, test_index: int, rows: int) -> FittedTable:
    largest = found.table(test_index, result.run["rank_by"], most=rows).to_pylist()
    number = found.num_groups
    by = visible(found.group_by)
    title = f"Groups by {by}: {number:,}"
    if number > len(largest):
        title = f"Groups by {by}: the {len(largest)} largest of {number:,}"
    sums = {name: [group[f"{name}_influence"] for group in largest] for name in ("net", "positive", "negative")}
    scale = Scale.of(value for values in sums.values() for value in values)
    columns = [Column(heading="#", cells=[str(place + 1) for place in range(len(largest))])]
    columns += [
        Column(heading=scale.heading(name), cells=[scale.signed(value) for value in values])
        for name, values in sums.items()
    ]
    names = [visible(group["group_name"] or group["group_label"]) for group in largest]
    columns.append(Column(heading="triples", cells=[f"{group['num_training_triples']:,}" for group in largest]))
    columns.append(Column(heading="group", cells=names, is_text=True))
    return FittedTable(title=title, columns=columns)
