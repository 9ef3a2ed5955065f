"""Columns of truth: for each training triple in the list of a test triple, what is known of it."""

from jaxtyping import Bool
from numpy import ndarray

from tracin_dask.errors import ResultError
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.truth.known import KnownIds, Marks, TripleIds
from tracin_dask.report.truth.resolve import resolve
from tracin_dask.report.truth.values import Truth
from tracin_dask.report.truth.vocabulary import vocabulary_of


def known_of(result: InfluenceResult, truth: Truth) -> KnownIds:
    """Find the ids of all that is known, by the labels of the result; do it once for many test triples.

    Raises
    ------
    ResultError
        If paths are given for a result of self-influence, which has no test triples.
    TruthError
        If a relation of the user's triples is ambiguous.
    """
    refuse_paths_without_tests(result, truth)
    return resolve(truth, vocabulary_of(result.labels))


def truth_columns(
    result: InfluenceResult, truth: Truth | KnownIds, test_index: int = 0
) -> dict[str, Bool[ndarray, " entry"]]:
    """Mark the training triples in the ranking of a test triple, or of a set of them, by the name of each column.

    `is_ground_truth` and `is_ground_truth_strict` need edges, `in_path`, `on_specific_path` and
    `on_specific_path_strict` need paths, `is_true` needs the user's own triples: other columns are missing. For many
    test triples, give `known_of(result, truth)`.
    """
    known = known_of(result, truth) if isinstance(truth, Truth) else truth
    return marks_of(result, known, test_index).mark(result.rankings[test_index].triples)


def marks_of(result: InfluenceResult, known: KnownIds, test_index: int) -> Marks:
    """Choose what is known of a test triple, or of all members of a set."""
    return known.of(asked(result, test_index))


def asked(result: InfluenceResult, test_index: int) -> list[TripleIds]:
    """Give the test triples of a ranking: one, the members of a set, or none for self-influence."""
    if result.test_triples is None:
        return []
    members = [test_index] if result.sets is None else result.sets.members(test_index).tolist()
    return [(head, relation, tail) for head, relation, tail in result.test_triples[members].tolist()]


def refuse_paths_without_tests(result: InfluenceResult, truth: Truth) -> None:
    """Refuse truth about test triples for a result of self-influence.

    Raises
    ------
    ResultError
        Naming what can be given.
    """
    if result.test_triples is None and (truth.paths is not None or (truth.own is not None and truth.own.of_test)):
        raise ResultError(
            "the result is of self-influence and has no test triples, so no paths and no triples of test triples "
            "belong to it; give known edges, or a table of three columns"
        )
