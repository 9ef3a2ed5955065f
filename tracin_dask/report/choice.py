"""Which answers of a result are about a test triple."""

from collections.abc import Sequence

from tracin_dask.errors import ResultError
from tracin_dask.report.labels import ROLES
from tracin_dask.report.result import InfluenceResult


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
        If there is none.
    """
    tests = [] if result.test_triples is None else result.test_triples.tolist()
    places = [place for place, test in enumerate(tests) if _is(result, test, triple)]
    if not places:
        raise ResultError(
            f"no answer is about the test triple {' '.join(triple)}: the result has {len(tests):,} test triple(s), and "
            "each part of one is named by its id, label or name; leave --test-triple out to see them"
        )
    if result.sets is None:
        return places
    return sorted({int(result.sets.of_test[place]) for place in places})


def _is(result: InfluenceResult, test: Sequence[int], triple: Sequence[str]) -> bool:
    known = result.labels.describe(test)
    spellings = ({str(known.get(f"{role}{end}")) for end in ("", "_label", "_name")} for role in ROLES)
    return all(part in allowed for part, allowed in zip(triple, spellings, strict=True))
