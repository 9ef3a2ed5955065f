"""What a model predicts, as tables: given triples with scores and ranks, or the best tails and heads."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from rich.table import Table
from rich.text import Text

from tracin_dask.report.arrow import number_array, table_of, text_array
from tracin_dask.report.labels import ROLES, Labels
from tracin_dask.report.predictions import EntityRanks, Predictions
from tracin_dask.visible import visible

_SHORT = {
    "score": "score",
    "probability": "prob.",
    "filtered_tail_rank": "rank",
    "raw_tail_rank": "raw",
    "filtered_head_rank": "head rank",
    "raw_head_rank": "raw",
    "filtered_rank": "rank",
    "raw_rank": "raw",
    "num_training_lines": "lines",
    "is_training_triple": "known",
}
"""The heads of columns on the screen."""
_MARKS = {"num_training_lines", "is_training_triple"}
"""Columns that the screen shows only where they say something."""


def scored_table(triples: Int[ndarray, "test 3"], labels: Labels, predictions: Predictions) -> pa.Table:
    """Give a row for each given triple."""
    columns: dict[str, pa.Array] = {"test_index": number_array(np.arange(len(triples)))}
    columns |= labels.columns(triples)
    columns["score"] = number_array(predictions.score)
    columns |= _probability(predictions.probability)
    columns |= _ranks(predictions.tail_ranks, "_tail") | _ranks(predictions.head_ranks, "_head")
    columns["num_training_lines"] = number_array(np.array([len(lines) for lines in predictions.train_index], np.int64))
    return table_of(columns)


def best_table(  # noqa: PLR0913 - a column each
    asked: str,
    triples: Int[ndarray, "place 3"],
    labels: Labels,
    *,
    score: Float[ndarray, " place"],
    probability: Float[ndarray, " place"] | None,
    ranks: EntityRanks,
    is_known: Bool[ndarray, " place"],
) -> pa.Table:
    """Give a row for each of the best triples, in their order; `asked` says which end was looked for."""
    columns: dict[str, pa.Array] = {
        "asked": text_array([asked] * len(triples)),
        "place": number_array(np.arange(1, len(triples) + 1)),
    }
    columns |= labels.columns(triples)
    columns["score"] = number_array(score)
    columns |= _probability(probability) | _ranks(ranks, "")
    columns["is_training_triple"] = pa.array(is_known.tolist(), pa.bool_())
    return table_of(columns)


def screen_table(table: pa.Table, title: str, *, parts: Sequence[str] = ROLES, rows: int) -> Table:
    """Show some parts of the triples, by readable names where they are known, and the numbers; at most `rows`."""
    shown = Table(title=Text(title), title_justify="left", title_style="bold")
    numbers = [name for name in table.column_names if name in _SHORT and not (name in _MARKS and _is_zero(table[name]))]
    if "place" in table.column_names:
        shown.add_column("#", justify="right")
    for part in parts:
        shown.add_column(part, overflow="fold")
    for name in numbers:
        shown.add_column(_SHORT[name], justify="right")
    for row in table.slice(0, rows).to_pylist():
        place = [str(row["place"])] if "place" in row else []
        texts = [Text(visible(row.get(f"{part}_name") or row[f"{part}_label"])) for part in parts]
        shown.add_row(*place, *texts, *(_cell(name, row) for name in numbers))
    return shown


def _is_zero(column: pa.ChunkedArray) -> bool:
    return not any(column.to_pylist())


def _cell(name: str, row: Mapping[str, Any]) -> str:
    """Write a number for the screen."""
    value = row[name]
    if isinstance(value, bool):
        return "yes" if value else ""
    if name == "num_training_lines":
        return f"{value:,}" if value else ""
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "none"
    if name == "score":
        return f"{value:+.3g}"
    if name == "probability":
        return f"{value:.3g}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _probability(probability: Float[ndarray, " row"] | None) -> dict[str, pa.Array]:
    return {} if probability is None else {"probability": number_array(probability)}


def _ranks(ranks: EntityRanks | None, role: str) -> dict[str, pa.Array]:
    """Give both ranks, where they are known."""
    if ranks is None:
        return {}
    return {f"filtered{role}_rank": number_array(ranks.filtered), f"raw{role}_rank": number_array(ranks.raw)}
