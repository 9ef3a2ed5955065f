"""An evaluation as tables on the terminal: one for each column of truth, a column for each ranking."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from tracin_dask.report.truth.comparisons import INFLUENCE, SIZE
from tracin_dask.report.truth.evaluation import ALL, LIST, LISTED, Evaluation
from tracin_dask.report.truth.means import Mean, Overall
from tracin_dask.report.truth.measures import AREA, COVERAGE, FIRST_RANK, P_VALUE, PRECISION, RECIPROCAL
from tracin_dask.report.truth.values import DEFINITIONS

BESIDE = 2
"""Rankings that fit side by side into 80 characters."""
NO_NUMBER = "not defined"


def evaluation_tables(evaluation: Evaluation) -> Iterator[Table | Text]:
    """Give the tables, at most two rankings side by side, each column with its definition."""
    for column in evaluation.columns:
        found = [one for one in evaluation.overall if one.column == column]
        for start in range(0, len(found), BESIDE):
            yield _table(column, found[start : start + BESIDE], evaluation.hits)
        yield Text(f"{column}: {DEFINITIONS[column]}.\n", style="dim")


def _table(column: str, found: Sequence[Overall], hits: Sequence[int]) -> Table:
    table = Table(title=Text(column), title_justify="left", title_style="bold")
    table.add_column("measure")
    for one in found:
        table.add_column(heading(one), justify="right", overflow="fold")
    for name, cells in _lines(found, hits):
        table.add_row(name, *cells)
    return table


def heading(one: Overall) -> str:
    """Name a ranking with its length."""
    least, most = one.num_ranked
    number = f"{most:,}" if least == most else f"{least:,} to {most:,}"
    name, _, near = one.ranking.partition("_within_")
    words = {LIST: f"list of {number}", LISTED: f"exact ranks of {number}", ALL: f"all {number}"}[name]
    hops = near.removesuffix("_hops")
    return f"{words}, within {hops} {'hop' if hops == '1' else 'hops'}" if near else words


def _lines(found: Sequence[Overall], hits: Sequence[int]) -> Iterator[tuple[str, list[str]]]:
    """Give the name and the cells of each line."""
    yield "test triples with truth", [f"{one.num_with_truth:,} of {one.num_tests:,}" for one in found]
    yield "known triples held", [f"{one.num_true:,}{_of(one.num_known)}" for one in found]
    means = {
        "coverage": COVERAGE,
        "MRR": RECIPROCAL,
        "MAP": PRECISION,
        **{f"hits@{size}": f"hits_at_{size}" for size in hits},
        "first rank, mean if found": FIRST_RANK,
        "AUC": AREA,
    }
    for words, name in means.items():
        yield words, [_cell(one.means[name]) for one in found]
    overall = [one.permutation_p for one in found]
    yield "permutation p of MAP", [NO_NUMBER if value is None else f"{value:.4f}" for value in overall]
    yield "  p < 0.05", [_significant(one, P_VALUE) for one in found]
    for kind, words in ((SIZE, "|influence|"), (INFLUENCE, "influence")):
        if any(f"u_{kind}" in one.means for one in found):
            yield f"by {words}:", [""] * len(found)
            yield from _compared(found, kind)


def _compared(found: Sequence[Overall], kind: str) -> Iterator[tuple[str, list[str]]]:
    """Give the lines of the comparison of known and other triples."""
    for side, words in (("true", "known"), ("others", "others")):
        cells = [_cell(one.means.get(f"mean_rank_{side}_{kind}"), interval=False) for one in found]
        yield f"  mean rank, {words}", cells
    yield "  Cliff's delta", [_cell(one.means.get(f"cliffs_delta_{kind}")) for one in found]
    yield "  Mann-Whitney p < 0.05", [_significant(one, f"u_p_{kind}") for one in found]
    yield "  Kolm.-Smirnov p < 0.05", [_significant(one, f"ks_p_{kind}") for one in found]


def _of(known: int | None) -> str:
    return "" if known is None else f" of {known:,}"


def _significant(one: Overall, name: str) -> str:
    few, number = one.significant.get(name, (0, 0))
    return f"{few:,} of {number:,}" if number else NO_NUMBER


def _cell(mean: Mean | None, *, interval: bool = True) -> str:
    """Write a mean with its interval, as far as both are defined."""
    if mean is None or mean.value is None:
        return NO_NUMBER
    value = _number(mean.value)
    if mean.low is None or mean.high is None or not interval:
        return value
    return f"{value} [{_number(mean.low)}, {_number(mean.high)}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:z.3f}"
