"""Which answers of a result are about a test triple."""

from collections.abc import Sequence

from tracin_dask.errors import ResultError
from tracin_dask.report.labels import ROLES
from tracin_dask.report.near import near_texts
from tracin_dask.report.result import InfluenceResult

MOST_CANDIDATES = 5
"""Test triples that a message lists, where several have the same names."""


def chosen_answers(result: InfluenceResult, triples: Sequence[Sequence[str]], indices: Sequence[int]) -> list[int]:
    """Find the answers about some test triples, and those with some indices, each once.

    Raises
    ------
    ResultError
        If one is not in the result.
    """
    number = len(result.rankings)
    for index in indices:
        if not 0 <= index < number:
            raise ResultError(f"no answer has index {index}: the result has {number:,}, counted from 0")
    about = [index for triple in triples for index in answers_about(result, triple)]
    return list(dict.fromkeys([*about, *indices]))


def answers_about(result: InfluenceResult, triple: Sequence[str]) -> list[int]:
    """Find the answers about a test triple, whose parts are ids, labels or names; of sets, those that it belongs to.

    Raises
    ------
    ResultError
        If there is none, or several test triples are called so.
    """
    tests = [] if result.test_triples is None else result.test_triples.tolist()
    places = [place for place, test in enumerate(tests) if _is(result, test, triple)]
    if len({tuple(tests[place]) for place in places}) > 1:
        labelled = [place for place in places if _is(result, tests[place], triple, ends=("_label",))]
        if len({tuple(tests[place]) for place in labelled}) != 1:
            raise ResultError(_ambiguous(result, triple, places))
        places = labelled
    if not places:
        raise ResultError(
            f"no answer is about the test triple {' '.join(triple)}{_suggestions(result, triple)}: the result has "
            f"{len(tests):,} test triple(s), and each part of one is named by its id, label or name; leave "
            "--test-triple out to see them"
        )
    if result.sets is None:
        return places
    return sorted({int(result.sets.of_test[place]) for place in places})


def _is(
    result: InfluenceResult, test: Sequence[int], triple: Sequence[str], ends: Sequence[str] = ("", "_label", "_name")
) -> bool:
    return all(part in _spellings(result, test, role, ends) for part, role in zip(triple, ROLES, strict=True))


def _spellings(result: InfluenceResult, test: Sequence[int], role: str, ends: Sequence[str]) -> set[str]:
    """Give what a part of a test triple is called."""
    known = result.labels.describe(test)
    return {str(known[f"{role}{end}"]) for end in ends if f"{role}{end}" in known}


def _ambiguous(result: InfluenceResult, triple: Sequence[str], places: Sequence[int]) -> str:
    """List the test triples that are called the same, by their labels and ids."""
    assert result.test_triples is not None  # noqa: S101 - some are called so
    tests = list(dict.fromkeys(tuple(result.test_triples[place].tolist()) for place in places))
    shown = []
    for test in tests[:MOST_CANDIDATES]:
        known = result.labels.describe(test)
        shown.append(" ".join(str(known[f"{role}_label"]) for role in ROLES) + f" (ids {' '.join(map(str, test))})")
    more = f", and {len(tests) - MOST_CANDIDATES:,} more" if len(tests) > MOST_CANDIDATES else ""
    return (
        f"the test triple {' '.join(triple)} is ambiguous: {len(tests):,} test triples of the result are called so: "
        f"{', '.join(shown)}{more}; give the labels of one, or its --test-index"
    )


def _suggestions(result: InfluenceResult, triple: Sequence[str]) -> str:
    """Suggest what the first part that no test triple has may have been meant for."""
    tests = [] if result.test_triples is None else result.test_triples.tolist()
    for part, role in zip(triple, ROLES, strict=True):
        known = {text for test in tests for text in _spellings(result, test, role, ("", "_label", "_name"))}
        if part not in known:
            near = near_texts(part, sorted(known))
            suggested = f"; did you mean {' or '.join(near)}?" if near else ""
            return f" (no {role} is {part!r}{suggested})"
    return ""
