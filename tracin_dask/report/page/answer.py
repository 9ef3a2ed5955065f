"""Everything that the page of one answer shows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tracin_dask.report.page.chains import Chains, chains_of, found_paths
from tracin_dask.report.page.drawing import Drawing, drawing_of
from tracin_dask.report.page.facts import (
    Compared,
    Fact,
    Question,
    comparison,
    facts_of,
    notes_of,
    question_of,
    reading,
)
from tracin_dask.report.page.histogram import Histogram, Picture, of_all, of_listed
from tracin_dask.report.page.listed import listed
from tracin_dask.report.page.origin import Origin, origin_of
from tracin_dask.report.page.ranks import RankRows, rank_rows
from tracin_dask.report.page.stability import Stability, stability_of
from tracin_dask.report.page.sums import Chart, charts_of_groups, charts_of_listed
from tracin_dask.report.page.tables import Side, sides
from tracin_dask.report.result import InfluenceResult
from tracin_dask.visible import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The parts of a page; what the result lacks is None or empty."""

    question: Question
    strongest: Sequence[Fact]
    facts: Sequence[Fact]
    reading: str
    notes: Sequence[str]
    comparison: Sequence[Compared]
    value_name: str
    sides: Sequence[Side]
    num_known: int | None
    num_listed: int
    drawing: Drawing | None
    chains: Chains | None
    charts: Sequence[Chart]
    group_charts: Sequence[Chart]
    histograms: Sequence[Picture]
    stability: Stability | None
    ranks: RankRows | None
    kept: Sequence[Fact]
    origin: Origin


def answer_of(
    result: InfluenceResult,
    index: int,
    *,
    histogram: Histogram | None = None,
    truth: Sequence[bool] | None = None,
) -> Answer:
    """Collect the parts of the page of one answer."""
    found = listed(result, index, truth)
    paths = found_paths(result, index)
    tables = sides(result, found)
    pictures = [of_listed(found, _word(result)), None if histogram is None else of_all(histogram, index, found)]
    trainings = len({one.get("training") for one in result.run["checkpoints"]})
    return Answer(
        question=question_of(result, index),
        strongest=_strongest(result, tables),
        facts=facts_of(result, index),
        reading=reading(result, index),
        notes=notes_of(result, index),
        comparison=comparison(result, index),
        value_name=_word(result),
        sides=tables,
        num_known=None if found.known is None else int(found.known.sum()),
        num_listed=len(found),
        drawing=drawing_of(result, index, found, [] if paths is None else [path.entries for path in paths.paths]),
        chains=chains_of(result, index, found, paths),
        charts=charts_of_listed(found, is_self=result.test_triples is None),
        group_charts=charts_of_groups(result, index),
        histograms=[picture for picture in pictures if picture is not None],
        stability=stability_of(found, trainings),
        ranks=rank_rows(result, index),
        kept=_kept(result, index),
        origin=origin_of(result, index),
    )


def _word(result: InfluenceResult) -> str:
    return result.value_name.replace("_influence", "-influence")


def _strongest(result: InfluenceResult, tables: Sequence[Side]) -> list[Fact]:
    """Name the strongest training triple of each side."""
    if result.test_triples is None:
        return []
    found = []
    for side in tables:
        name = f"Strongest {side.key[:-1]}"
        if side.rows:
            first = side.rows[0]
            unit = f" {side.unit}" if side.unit else ""
            found.append(Fact(name=name, value=str(first.triple), remark=f"{first.influence}{unit}"))
        else:
            found.append(Fact(name=name, value="none is listed"))
    return found


def _kept(result: InfluenceResult, index: int) -> list[Fact]:
    """Give what reductions of your own report."""
    return [
        Fact(name=visible(name), value=visible(json.dumps(values[index], ensure_ascii=False)))
        for name, values in result.kept.items()
    ]
