"""An influence result as a table on the terminal."""

from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracin_dask.report.result import InfluenceResult, RankedTriples
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
    if result.test_triples is None:
        title = "Training triples of the largest self-influence"
        table = _table(result, result.rankings[0], title=title, rows=rows, spread=_spread(result, 0))
        return Group(table, Text(SELF_MEANING, style="dim"))
    test = _question(result, test_index)
    sides = [
        _table(
            result,
            result.side(side, test_index),
            title=f"{side.capitalize()} of {test}",
            rows=rows,
            spread=_spread(result, test_index),
        )
        for side in ("proponents", "opponents")
        if result.run["rank_by"] in ("absolute", side)
    ]
    return Group(*sides, Text(_meaning(result), style="dim"))


def _question(result: InfluenceResult, test_index: int) -> str:
    """Name a test triple with the other tail, or a set of them, and a loss that is not the default."""
    loss = "" if result.run["loss"] == "bce" else f" (loss {result.run['loss']})"
    if result.sets is not None:
        number, name = len(result.sets.members(test_index)), visible(result.sets.names[test_index])
        return f"the mean over {number:,} test triple(s), set {name}{loss}"
    triple, other = result.question(test_index)
    asked = " — ".join(result.labels.call(triple))
    if other is not None:
        asked = f"{asked}, and not {result.labels.call([*triple[:2], other])[2]}"
    return f"{asked}{loss}"


def size_meaning(result: InfluenceResult) -> str:
    """Say what the size of an influence is."""
    way = "curvature" if "curvature" in result.run else result.run["preconditioner"]
    sizes = _SIZES.get(way, _OTHER_SIZES)
    return sizes[result.run["normalize"]].format(change=_CHANGES[result.run["explain"]])


def _meaning(result: InfluenceResult) -> str:
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


def _table(
    result: InfluenceResult,
    ranking: RankedTriples,
    *,
    title: str,
    rows: int,
    spread: Mapping[int, float] | None = None,
) -> Table:
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    table.add_column("#", justify="right")
    table.add_column("influence", justify="right")
    if spread:
        table.add_column("spread", justify="right")
    for column in ("head", "relation", "tail"):
        table.add_column(column, overflow="fold")
    table.add_column("line", justify="right")
    for place, triple in enumerate(ranking.triples[:rows].tolist()):
        influence, line = ranking.influence[place], ranking.train_index[place] + 1
        shown = [f"{spread[line - 1]:.1e}" if line - 1 in spread else ""] if spread else []
        table.add_row(str(place + 1), f"{influence:+.3e}", *shown, *map(Text, result.labels.call(triple)), f"{line}")
    if len(ranking) == 0:
        table.add_row("", "none", *([""] if spread else []), "", "", "", "")
    return table
