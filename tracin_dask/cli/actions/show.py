"""Carries out `tracin-dask show`: reads a result and prints it as `run` does."""

from collections.abc import Sequence

from rich.console import Console

from tracin_dask.cli.say import say
from tracin_dask.places.place import Place
from tracin_dask.report.choice import chosen_answers
from tracin_dask.report.formats import read_result
from tracin_dask.report.groups import LISTED_GROUPS
from tracin_dask.report.json import explained
from tracin_dask.report.prediction_words import predicted
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.screen import (
    answer_tables,
    answer_word,
    audited,
    list_of_answers,
    made,
    ranked,
    scored,
    specific,
)


def show_result(path: Place, triples: Sequence[Sequence[str]], indices: Sequence[int], *, rows: int) -> None:
    """Print the chosen answers of a result, or the only one, or else the list of them.

    Raises
    ------
    ResultError
        If there is no result, or a chosen answer is not in it.
    """
    result = read_result(path, all_groups=rows > LISTED_GROUPS)
    with explained(path):
        _print(result, triples, indices, rows=rows)


def _print(result: InfluenceResult, triples: Sequence[Sequence[str]], indices: Sequence[int], *, rows: int) -> None:
    is_single = len(result.rankings) == 1
    chosen = chosen_answers(result, triples, indices) or ([0] if is_single else [])
    if not chosen:
        Console().print(list_of_answers(result, rows=rows))
        say(f"show one {answer_word(result)} with --test-index N or --test-triple H R T")
    for index in chosen:
        Console().print(answer_tables(result, index, rows=rows))
    say("\n".join([scored(result), *predicted(result), *ranked(result), *specific(result), *audited(result)]))
    say(made(result))
