"""The index of all pages: a table of the answers, and what their lists have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tracin_dask.report.page.facts import Fact, Question, question_of
from tracin_dask.report.page.names import NamedTriple, named_triples
from tracin_dask.report.page.numbers import Scale, minus
from tracin_dask.report.prediction_words import predicted, rank_word
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.screen import made, ranked, scored
from tracin_dask.report.specificity import described, specificity_of
from tracin_dask.visible import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRow:
    """An answer in the index."""

    file: str
    test_index: int
    question: Question
    score: str
    score_value: float | None
    rank: str
    rank_value: float | None
    is_predicted: bool | None
    proponents: int
    opponents: int
    top: NamedTriple | None
    """The strongest proponent, or with self-influence the first entry."""
    top_influence: str
    top_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The parts of the index."""

    title: str
    facts: Sequence[Fact]
    sentences: Sequence[str]
    warnings: Sequence[str]
    rows: Sequence[IndexRow]
    has_scores: bool
    has_ranks: bool
    is_self: bool
    unit: str


def index_of(result: InfluenceResult, files: Sequence[str]) -> Index:
    """List the answers of a result with the files of their pages."""
    scale = Scale.of(float(np.abs(ranking.influence).max(initial=0.0)) for ranking in result.rankings)
    predictions = None if result.sets is not None else result.predictions
    specificity = specificity_of(result)
    lines = [] if specificity is None else described(specificity, both_sides=False)
    return Index(
        title=_title(result),
        facts=_facts(result),
        sentences=[_sentence(line) for line in (*predicted(result), *lines[:1], *ranked(result), scored(result))],
        warnings=[_sentence(line) for line in lines[1:]],
        rows=[_row(result, index, file, scale) for index, file in enumerate(files)],
        has_scores=predictions is not None,
        has_ranks=predictions is not None and predictions.tail_ranks is not None,
        is_self=result.test_triples is None,
        unit=scale.unit,
    )


def _sentence(line: str) -> str:
    return visible(f"{line[:1].upper()}{line[1:]}.")


def _title(result: InfluenceResult) -> str:
    number = len(result.rankings)
    if result.test_triples is None:
        return "Self-influence of the training set"
    what = "prediction" if result.sets is None else "set of predictions"
    if number == 1:
        return f"One explained {what}"
    return f"{number:,} explained {what.replace('set', 'sets') if result.sets is not None else 'predictions'}"


def _facts(result: InfluenceResult) -> list[Fact]:
    run = result.run
    found = [Fact(name="Preset", value=visible(run["preset"]))] if "preset" in run else []
    found += [Fact(name="Loss", value=visible(run["loss"]))]
    found += [Fact(name="Training triples", value=f"{run['num_training_triples']:,}")]
    found += [Fact(name="Checkpoints", value=f"{len(run['checkpoints']):,}")]
    return [*found, Fact(name="Made", value=visible(made(result)))]


def _row(result: InfluenceResult, index: int, file: str, scale: Scale) -> IndexRow:
    predictions = None if result.sets is not None else result.predictions
    proponents, opponents = result.side("proponents", index), result.side("opponents", index)
    strongest = int(np.argmax(proponents.influence)) if len(proponents) else None
    top_value = 0.0 if strongest is None else float(proponents.influence[strongest])
    rank = None if predictions is None or predictions.tail_ranks is None else predictions.tail_ranks
    score = None if predictions is None or np.isnan(predictions.score[index]) else float(predictions.score[index])
    return IndexRow(
        file=file,
        test_index=index,
        question=question_of(result, index),
        score="" if score is None else minus(f"{score:+.3f}"),
        score_value=score,
        rank="" if rank is None else rank_word(rank, index),
        rank_value=None if rank is None else float(rank.filtered[index]),
        is_predicted=None if rank is None or predictions is None else bool(np.asarray(predictions.is_predicted)[index]),
        proponents=len(proponents),
        opponents=len(opponents),
        top=None if strongest is None else named_triples(result.labels, proponents.triples[[strongest]])[0],
        top_influence="" if strongest is None else scale.signed(top_value),
        top_value=top_value,
    )
