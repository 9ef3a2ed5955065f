"""An influence result as a table on the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.text import Text

from tracin_dask.report.fitted import Column, FittedTable, FittedTables, triple_columns
from tracin_dask.report.result import InfluenceResult, RankedTriples
from tracin_dask.report.scale import Scale
from tracin_dask.visible import visible

SIGNS = "> 0 speaks for the prediction, < 0 against; size: "
_SIZES = {
    "none": {
        "none": "{change} per step on it.",
        "cosine": "cosine of the gradients.",
        "relatif": "{change} by equal steps.",
    },
    "adam": {
        "none": "{change} per Adam step.",
        "cosine": "cosine in Adam's norm.",
        "relatif": "{change} by Adam's norm.",
    },
    "curvature": {
        "none": "{change} after a step that is divided by the curvature.",
        "cosine": "cosine in the norm of the inverse curvature.",
        "relatif": "{change} by the norm of the inverse curvature.",
    },
}
"""By the preconditioner, and by what influences are divided by."""
_OTHER_SIZES = {
    "none": "{change} per preconditioned step.",
    "cosine": "cosine in the preconditioner's norm.",
    "relatif": "{change} by the preconditioner's norm.",
}
_CHANGES = {"loss": "drop of loss", "score": "rise of score"}
SELF_MEANING = "The size: how far a step on a triple lowers its own loss; large for odd facts."


def influence_tables(result: InfluenceResult, test_index: int = 0, *, rows: int = 10) -> RenderableType:
    """Show one test triple with its strongest proponents and opponents, at most `rows` of each.

    Where the result is ranked by one side, only that one is shown.
    """
    spread = _spread(result, test_index)
    if result.test_triples is None:
        title = "Training triples of the largest self-influence"
        ranking = result.rankings[0].take(slice(rows))
        table = _table(result, ranking, title, _scale([ranking], spread), spread)
        return Group(FittedTables(tables=[table]), Text(SELF_MEANING, style="dim"))
    test = asked(result, test_index)
    sides = {
        side: result.side(side, test_index).take(slice(rows))
        for side in ("proponents", "opponents")
        if result.run["rank_by"] in ("absolute", side)
    }
    scale = _scale(list(sides.values()), spread)
    tables = [
        _table(result, ranking, f"{side.capitalize()} of {test}", scale, spread) for side, ranking in sides.items()
    ]
    return Group(FittedTables(tables=tables), Text(meaning(result), style="dim"))


def asked(result: InfluenceResult, test_index: int) -> str:
    """Name a test triple with the other tail, or a set of them, and a loss that is not the default."""
    loss = "" if result.run["loss"] == "bce" else f" (loss {result.run['loss']})"
    if result.sets is not None:
        number, name = len(result.sets.members(test_index)), visible(result.sets.names[test_index])
        return f"the mean over {number:,} test triple(s), set {name}{loss}"
    triple, other = result.question(test_index)
    text = " — ".join(result.labels.call(triple))
    if other is not None:
        text = f"{text}, and not {result.labels.call([*triple[:2], other])[2]}"
    return f"{text}{loss}"


def size_meaning(result: InfluenceResult) -> str:
    """Say what the size of an influence is."""
    way = "curvature" if "curvature" in result.run else result.run["preconditioner"]
    sizes = _SIZES.get(way, _OTHER_SIZES)
    return sizes[result.run["normalize"]].format(change=_CHANGES[result.run["explain"]])


def meaning(result: InfluenceResult) -> str:
    """Say what sign and size mean."""
    spread = "" if result.spread is None else " Spread: the standard deviation over the trainings."
    return SIGNS + size_meaning(result) + spread


def _spread(result: InfluenceResult, test_index: int) -> dict[int, float]:
    """Give the spread over trainings by the training triple's line, counted from 0."""
    if result.spread is None or result.further_spread is None:
        return {}
    parts = (result.rankings, result.spread), (result.further, result.further_spread)
    found: dict[int, float] = {}
    for ranked, spread in parts:
        found |= zip(ranked[test_index].train_index.tolist(), spread[test_index].tolist(), strict=True)
    return found


def _scale(rankings: Sequence[RankedTriples], spread: Mapping[int, float]) -> Scale:
    """Choose one scale for all influences that are shown, and their spread."""
    values = [value for ranking in rankings for value in ranking.influence.tolist()]
    shown = [number for ranking in rankings for number in ranking.train_index.tolist()]
    return Scale.of([*values, *(spread[number] for number in shown if number in spread)])


def _table(
    result: InfluenceResult, ranking: RankedTriples, title: str, scale: Scale, spread: Mapping[int, float]
) -> FittedTable:
    lines = ranking.train_index.tolist()
    columns = [
        Column(heading="#", cells=[str(place + 1) for place in range(len(ranking))]),
        Column(heading=scale.heading("influence"), cells=[scale.signed(one) for one in ranking.influence.tolist()]),
    ]
    if spread:
        shown = [scale.unsigned(spread[line]) if line in spread else "" for line in lines]
        columns.append(Column(heading=scale.heading("spread"), cells=shown))
    columns += triple_columns([result.labels.call(triple) for triple in ranking.triples.tolist()])
    columns.append(Column(heading="line", cells=[str(line + 1) for line in lines]))
    if len(ranking) == 0:
        columns = [replace(column, cells=["none" if number == 1 else ""]) for number, column in enumerate(columns)]
    return FittedTable(title=title, columns=columns)
