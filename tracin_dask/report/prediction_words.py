"""What the model says of the test triples, in words."""

from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from tracin_dask.report.fitted import Column, FittedTable, FittedTables, triple_columns
from tracin_dask.report.predictions import ALL_RANKS, PREDICTED_RANK, EntityRanks, Predictions
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
    lines = [_sentences(result, predictions, test_index, whose="")]
    if predictions.contrast is not None:
        lines.append(_sentences(result, predictions.contrast, test_index, whose=" with the other tail"))
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
    """Say how many of several test triples the model predicts, and which ranks `--ranks all` would add."""
    predictions = result.predictions
    if predictions is None:
        return []
    lines = [*_how_many(predictions)] if len(predictions.score) > 1 else []
    reasons = {role: result.run["prediction"].get(f"why_no_{role}_ranks", "") for role in ("tail", "head")}
    missing = [role for role, why in reasons.items() if ALL_RANKS in why]
    if missing:
        lines.append(f"no ranks of the {' and '.join(f'{role}s' for role in missing)}: {reasons[missing[0]]}")
    return lines


def _how_many(predictions: Predictions) -> Iterator[str]:
    number, is_predicted = len(predictions.score), predictions.is_predicted
    if is_predicted is not None:
        yield (
            f"the model predicts {int(is_predicted.sum()):,} of {number:,} test triples: their tails are among the "
            f"first {PREDICTED_RANK}, not counting the tails of other training triples"
        )
    in_training = sum(len(lines) > 0 for lines in predictions.train_index)
    if in_training:
        yield f"{in_training:,} of {number:,} test triples are training triples"


def rank_word(ranks: EntityRanks, test: int) -> str:
    """Write a filtered rank."""
    return _rank(ranks.filtered[test])


def raw_rank_word(ranks: EntityRanks, test: int) -> str:
    """Write a raw rank."""
    return _rank(ranks.raw[test])


def _rank(rank: float) -> str:
    """Write a rank: with its half in the middle of an even number of ties."""
    return f"{rank:,.0f}" if float(rank).is_integer() else f"{rank:,.1f}"


def _sentences(result: InfluenceResult, predictions: Predictions, test: int, *, whose: str) -> str:
    """State the score, the probability and the ranks of a test triple."""
    score = "not finite" if np.isnan(predictions.score[test]) else f"{predictions.score[test]:+.3g}"
    probability = "" if predictions.probability is None else f", probability {predictions.probability[test]:.3g}"
    checkpoints = result.run["checkpoints"]
    which = f" by the last checkpoint, {checkpoints[-1]['path']}" if len(checkpoints) > 1 else ""
    parts = [f"Score{whose}: {score}{probability}{which}."]
    number = f"{result.run['prediction']['num_entities']:,}"
    for role, ranks in (("tail", predictions.tail_ranks), ("head", predictions.head_ranks)):
        if ranks is not None:
            raw = f"{raw_rank_word(ranks, test)} counting the {role}s of other training triples"
            parts.append(f"Rank of the {role}: {_rank(ranks.filtered[test])} of {number} entities ({raw}).")
    return " ".join(parts)


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


def _members(result: InfluenceResult, predictions: Predictions, members: Sequence[int]) -> FittedTables:
    """List members of a set with their scores, ranks and notes."""
    scores = [predictions.score[member] for member in members]
    ranks = predictions.tail_ranks
    columns = [
        *triple_columns([result.labels.call(result.question(member)[0]) for member in members]),
        Column(heading="score", cells=["" if np.isnan(score) else f"{score:+.3g}" for score in scores]),
        Column(heading="tail rank", cells=["" if ranks is None else rank_word(ranks, member) for member in members]),
        Column(heading="note", cells=["; ".join(notes(result, member)) for member in members], is_text=True),
    ]
    return FittedTables(tables=[FittedTable(title="What the model says of the test triples", columns=columns)])
