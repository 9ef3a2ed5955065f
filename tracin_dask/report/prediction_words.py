"""What the model says of the test triples, in words."""

from collections.abc import Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracin_dask.report.predictions import PREDICTED_RANK, EntityRanks, Predictions
from tracin_dask.report.result import InfluenceResult

MOST_LINES = 3
"""Lines of the training file that a note names."""


def prediction_table(result: InfluenceResult, test_index: int, *, rows: int) -> RenderableType | None:
    """Show what the model says of a test triple, or of at most `rows` members of a set; None if that is not known."""
    predictions = result.predictions
    if predictions is None or result.test_triples is None:
        return None
    if result.sets is not None:
        return _members(result, predictions, result.sets.members(test_index)[:rows].tolist())
    lines = [_sentence(result, predictions, test_index, "The model")]
    if predictions.contrast is not None:
        lines.append(_sentence(result, predictions.contrast, test_index, "With the other tail, it"))
    return Group(*map(Text, [*lines, *(f"Note: {note}." for note in notes(result, test_index))]))


def notes(result: InfluenceResult, test: int) -> list[str]:
    """Note that the model does not predict a test triple, or that the training file has it, or has it backwards."""
    predictions = result.predictions
    if predictions is None:
        return []
    found = _unpredicted(predictions.tail_ranks, test)
    found += _in_training("this", predictions, test)
    contrast = predictions.contrast
    return found if contrast is None else found + _in_training("the triple with the other tail", contrast, test)


def predicted(result: InfluenceResult) -> list[str]:
    """Say how many of several test triples the model predicts, and why ranks are missing."""
    predictions = result.predictions
    if predictions is None:
        return []
    about, number = result.run.get("prediction", {}), len(predictions.score)
    lines = [
        f"the {role}s of the test triples are not ranked: {why}"
        for role in ("tail", "head")
        if (why := about.get(f"why_no_{role}_ranks")) and not (role == "head" and about.get("why_no_tail_ranks") == why)
    ]
    if number == 1:
        return lines
    is_predicted = predictions.is_predicted
    if is_predicted is not None:
        lines.insert(0, f"the model predicts {int(is_predicted.sum()):,} of {number:,} test triples: {_PREDICTED}")
    in_training = sum(len(found) > 0 for found in predictions.train_index)
    return [*lines, *([f"{in_training:,} of {number:,} test triples are training triples"] if in_training else [])]


_PREDICTED = f"their tails are among the first {PREDICTED_RANK} when those of other training triples are left out"


def rank_word(ranks: EntityRanks, test: int) -> str:
    """Write a filtered rank."""
    return _rank(ranks.filtered[test])


def _rank(rank: float) -> str:
    """Write a rank: with its half in the middle of an even number of ties."""
    return f"{rank:,.0f}" if float(rank).is_integer() else f"{rank:,.1f}"


def _sentence(result: InfluenceResult, predictions: Predictions, test: int, subject: str) -> str:
    """State the score, the probability and the ranks of a test triple."""
    probability = "" if predictions.probability is None else f" (probability {predictions.probability[test]:.3g})"
    parts = [f"{subject} gives it the score {predictions.score[test]:+.3g}{probability}"]
    for role, ranks in (("tail", predictions.tail_ranks), ("head", predictions.head_ranks)):
        if ranks is not None:
            raw = f"{_rank(ranks.raw[test])} with those of other training triples"
            parts.append(f"its {role} is number {_rank(ranks.filtered[test])} of all entities ({raw})")
    checkpoints = result.run["checkpoints"]
    which = f"; by the last checkpoint, {checkpoints[-1]['path']}" if len(checkpoints) > 1 else ""
    return f"{'; '.join(parts)}{which}."


def _unpredicted(ranks: EntityRanks | None, test: int) -> list[str]:
    if ranks is None or ranks.filtered[test] <= PREDICTED_RANK:
        return []
    note = (
        f"the model does not predict this: the rank of its tail is {rank_word(ranks, test)}, beyond {PREDICTED_RANK}; "
        "the influences explain a score that does not stand out"
    )
    return [note]


def _in_training(what: str, predictions: Predictions, test: int) -> list[str]:
    """Name the lines of the training file that have a triple, or have it backwards."""
    same, backwards = predictions.train_index[test], predictions.reversed_train_index[test]
    times = "" if len(same) == 1 else f", {len(same):,} times"
    found = [f"{what} is a training triple{times}: {_lines(same.tolist())}"] if len(same) else []
    if len(backwards):
        found.append(f"{what} is a training triple backwards: {_lines(backwards.tolist())}")
    return found


def _lines(train_index: Sequence[int]) -> str:
    """Name the first lines, counted from 1."""
    named = ", ".join(f"{line + 1}" for line in train_index[:MOST_LINES])
    return f"line{'' if len(train_index) == 1 else 's'} {named}{', …' if len(train_index) > MOST_LINES else ''}"


def _members(result: InfluenceResult, predictions: Predictions, members: Sequence[int]) -> Table:
    """List members of a set with their scores, ranks and notes."""
    table = Table(title=Text("What the model says of the test triples"), title_justify="left", title_style="bold")
    for column in ("head", "relation", "tail"):
        table.add_column(column, overflow="fold")
    for column in ("score", "tail rank"):
        table.add_column(column, justify="right")
    table.add_column("note", overflow="fold")
    for member in members:
        triple, _ = result.question(member)
        rank = "" if predictions.tail_ranks is None else rank_word(predictions.tail_ranks, member)
        score, note = predictions.score[member], "; ".join(notes(result, member))
        shown = "" if np.isnan(score) else f"{score:+.3g}"
        table.add_row(*map(Text, result.labels.call(triple)), shown, rank, Text(note))
    return table
