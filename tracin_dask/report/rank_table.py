"""The exact ranks of listed training triples as a table on the terminal."""

import math

from rich.console import Group, RenderableType
from rich.text import Text

from tracin_dask.report.fitted import Column, FittedTable, FittedTables, triple_columns
from tracin_dask.report.labels import Labels
from tracin_dask.report.ranks import NO_INFLUENCE, TIES_OF_ZERO, ListedRanks
from tracin_dask.report.scale import Scale

MEANING = "Percentile: the share of the other training triples that rank behind it, in percent; 100 is the first."


def rank_table(ranks: ListedRanks, labels: Labels, test_index: int = 0, *, rows: int = 10) -> RenderableType:
    """Show the ranks of listed training triples for a test triple, at most `rows` of them, in the order of the list."""
    shown, number = min(rows, len(ranks.triples)), int(ranks.num_ranked[test_index])
    title = f"Ranks among {number:,} training triples"
    if shown < len(ranks.triples):
        title += f": the first {shown} of {len(ranks.triples):,} listed"
    percentiles = ranks.percentile(test_index).tolist()[:shown]
    influences = ranks.influence[test_index, :shown].tolist()
    positions = [f"{rank:,}" for rank in ranks.rank[test_index, :shown].tolist()]
    scale = Scale.of(influences)
    positions = ["none" if math.isnan(one) else rank for one, rank in zip(percentiles, positions, strict=True)]
    shares = [_share(one, influence) for one, influence in zip(percentiles, influences, strict=True)]
    columns = [
        Column(heading="rank", cells=positions),
        Column(heading="percentile", cells=shares),
        Column(heading=scale.heading("influence"), cells=[scale.signed(one) for one in influences]),
        *triple_columns([labels.call(triple) for triple in ranks.triples[:shown].tolist()]),
        Column(heading="line", cells=[f"{line + 1}" for line in ranks.train_index[:shown].tolist()]),
    ]
    table = FittedTable(title=title, columns=columns)
    meaning = f"{MEANING} {TIES_OF_ZERO}" if NO_INFLUENCE in shares else MEANING
    return Group(FittedTables(tables=[table]), Text(meaning, style="dim"))


def _share(percentile: float, influence: float) -> str:
    if math.isnan(percentile):
        return ""
    return f"{percentile:.2f}" if influence else NO_INFLUENCE
