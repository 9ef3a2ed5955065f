"""The exact ranks of listed training triples as a table on the terminal."""

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracin_dask.report.labels import Labels
from tracin_dask.report.ranks import ListedRanks

MEANING = "Percentile: the share of the other training triples that rank behind it, in percent; 100 is the first."


def rank_table(ranks: ListedRanks, labels: Labels, test_index: int = 0, *, rows: int = 10) -> RenderableType:
    """Show the ranks of listed training triples for a test triple, at most `rows` of them, in the order of the list."""
    shown, number = min(rows, len(ranks.triples)), int(ranks.num_ranked[test_index])
    title = f"Ranks among {number:,} training triples"
    if shown < len(ranks.triples):
        title += f": the first {shown} of {len(ranks.triples):,} listed"
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for column in ("rank", "percentile", "influence"):
        table.add_column(column, justify="right")
    for column in ("head", "relation", "tail"):
        table.add_column(column, overflow="fold")
    table.add_column("line", justify="right")
    percentiles = ranks.percentile(test_index).tolist()
    for place, triple in enumerate(ranks.triples[:shown].tolist()):
        is_ranked = not math.isnan(percentiles[place])
        rank = [f"{ranks.rank[test_index, place]:,}", f"{percentiles[place]:.2f}"] if is_ranked else ["none", ""]
        influence, line = ranks.influence[test_index, place], ranks.train_index[place] + 1
        table.add_row(*rank, f"{influence:+.3e}", *map(Text, labels.call(triple)), f"{line}")
    return Group(table, Text(MEANING, style="dim"))
