"""What a page says of one answer above its tables: the question, the model's prediction, how to read an influence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tracin_dask.report.page.names import NamedTriple, named_triple
from tracin_dask.report.page.numbers import minus
from tracin_dask.report.prediction_words import notes, rank_word, raw_rank_word
from tracin_dask.report.predictions import Predictions
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.table import SELF_MEANING, size_meaning
from tracin_dask.visible import visible

_PRESETS = {
    "retraining": (
        "The preset retraining estimates how the prediction would change if the model were trained without the triple."
    ),
    "tracin": (
        "The preset tracin adds up what steps of the training did to the prediction; it hardly says what happens if "
        "the model is trained without the triple."
    ),
}

MEAN_MEANING = "An influence is the mean over the trainings; the spread is their standard deviation."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A fact with its name, and perhaps a remark."""

    name: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A test triple of a set."""

    triple: NamedTriple
    score: str
    rank: str
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A line of the comparison of two tails."""

    name: str
    this: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an answer is about."""

    title: str
    triple: NamedTriple | None
    other: NamedTriple | None
    """The triple with the other tail."""
    set_name: str
    members: Sequence[Member]


def question_of(result: InfluenceResult, index: int) -> Question:
    """Name a test triple, a set of test triples, or self-influence."""
    if result.test_triples is None:
        return Question(title="Self-influence of the training set", triple=None, other=None, set_name="", members=())
    if result.sets is not None:
        name, members = visible(result.sets.names[index]), result.sets.members(index).tolist()
        found = [_member(result, member) for member in members]
        return Question(title=f"Set {name}", triple=None, other=None, set_name=name, members=found)
    (head, relation, tail), other = result.question(index)
    triple = named_triple(result.labels, head, relation, tail)
    against = None if other is None else named_triple(result.labels, head, relation, other)
    title = f"{triple}{'' if against is None else f', and not {against.tail.name}'}"
    return Question(title=title, triple=triple, other=against, set_name="", members=())


def facts_of(result: InfluenceResult, index: int) -> list[Fact]:
    """State the prediction and how the influences were made."""
    is_single = result.test_triples is not None and result.sets is None
    found = list(_prediction(result, index)) if is_single and result.predictions is not None else []
    return [*found, *_made(result, index)]


def comparison(result: InfluenceResult, index: int) -> list[Compared]:
    """Compare the predictions of both tails; empty without another tail."""
    predictions = result.predictions
    if predictions is None or predictions.contrast is None or result.sets is not None:
        return []
    sides = [_numbers_of(one, index) for one in (predictions, predictions.contrast)]
    return [Compared(name=name, this=sides[0][name], other=sides[1].get(name, "")) for name in sides[0]]


def reading(result: InfluenceResult, index: int) -> str:
    """Say how to read an influence, as it depends on the run."""
    if result.test_triples is None:
        return SELF_MEANING
    speaks, opposite = "this prediction", "against it"
    if result.sets is not None:
        speaks, opposite = "the predictions of this set, on average", "against them"
    elif result.contrast_tails is not None:
        question = question_of(result, index)
        assert question.triple is not None and question.other is not None  # noqa: S101, PT018 - there is another tail
        speaks, opposite = f"{question.triple.tail.name} and against {question.other.tail.name}", "the other way round"
    parts = [
        f"A training triple with an influence above 0 is a proponent: it speaks for {speaks}.",
        f"One below 0 is an opponent: it speaks {opposite}.",
        f"Size: {size_meaning(result)}",
        _PRESETS.get(result.run.get("preset", ""), ""),
        "" if result.spread is None else MEAN_MEANING,
    ]
    return " ".join(filter(None, parts))


def notes_of(result: InfluenceResult, index: int) -> list[str]:
    """Give the notes on a test triple; those of a set's members stand in their table."""
    if result.test_triples is None or result.sets is not None:
        return []
    return [note[0].upper() + note[1:] + "." for note in notes(result, index)]


def _prediction(result: InfluenceResult, index: int) -> Iterator[Fact]:
    assert result.predictions is not None  # noqa: S101 - asked for only where there are predictions
    predictions = result.predictions
    number = f"of {result.run['prediction']['num_entities']:,}"
    yield Fact(name="Score", value=_score(predictions, index))
    if predictions.probability is not None:
        yield Fact(name="Probability", value=f"{predictions.probability[index]:.3g}")
    for role, ranks in (("tail", predictions.tail_ranks), ("head", predictions.head_ranks)):
        if ranks is not None:
            raw = f"{number} entities, filtered; raw {raw_rank_word(ranks, index)}"
            yield Fact(name=f"Rank of the {role}", value=rank_word(ranks, index), remark=raw)


def _made(result: InfluenceResult, index: int) -> Iterator[Fact]:
    run = result.run
    yield Fact(name="Loss", value=visible(run["loss"]), remark=f"influences on the {run['explain']}")
    checkpoints = run["checkpoints"]
    trainings = len({one["training"] for one in checkpoints if "training" in one})
    remark = "" if checkpoints[-1]["epoch"] is None else f"last: epoch {checkpoints[-1]['epoch']}"
    yield Fact(name="Checkpoints", value=f"{len(checkpoints):,}", remark=remark)
    if trainings:
        yield Fact(name="Trainings", value=f"{trainings:,}", remark="influences are their means")
    if "preset" in run:
        yield Fact(name="Preset", value=visible(run["preset"]))
    ranked = "" if result.num_ranked is None else f"{int(result.num_ranked[index]):,} of them ranked"
    yield Fact(name="Training triples", value=f"{run['num_training_triples']:,}", remark=ranked)
    if result.norms is not None and result.test_triples is not None:
        yield Fact(name="Gradient norm", value=f"{result.norms.test[index]:.4g}", remark="of the test side")


def _numbers_of(predictions: Predictions, index: int) -> dict[str, str]:
    found = {"Score": _score(predictions, index)}
    if predictions.probability is not None:
        found["Probability"] = f"{predictions.probability[index]:.3g}"
    if predictions.tail_ranks is not None:
        found["Rank of the tail, filtered"] = rank_word(predictions.tail_ranks, index)
        found["Rank of the tail, raw"] = raw_rank_word(predictions.tail_ranks, index)
    return found


def _score(predictions: Predictions, index: int) -> str:
    score = predictions.score[index]
    return "not finite" if np.isnan(score) else minus(f"{score:+.3f}")


def _member(result: InfluenceResult, member: int) -> Member:
    triple, _ = result.question(member)
    predictions = result.predictions
    ranks = None if predictions is None else predictions.tail_ranks
    return Member(
        triple=named_triple(result.labels, *triple),
        score="" if predictions is None else _score(predictions, member),
        rank="" if ranks is None else rank_word(ranks, member),
        notes="; ".join(notes(result, member)),
    )
