"""The rankings of a result as tables: a row per test triple and training triple, best first."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tracin_dask.report.arrow import list_array, number_array, repeated, table_of, text_array
from tracin_dask.report.labels import ROLES
from tracin_dask.report.predictions import known_numbers
from tracin_dask.report.ranks import NOT_RANKED, ListedRanks
from tracin_dask.report.result import InfluenceResult, RankedTriples
from tracin_dask.report.self_influences import TEST, TRAIN
from tracin_dask.report.words import Words


def ranked_columns(result: InfluenceResult, ranked: RankedTriples) -> dict[str, pa.Array]:
    """Give training triples by ids, labels and names, and their influences."""
    return result.labels.columns(ranked.triples, "train_") | {result.value_name: number_array(ranked.influence)}


def entries(result: InfluenceResult, test_index: int = 0) -> pa.Table:
    """Give one ranking as JSON lists it: with what each checkpoint adds, norms, and the lines of the training file."""
    ranking = result.rankings[test_index]
    columns = ranked_columns(result, ranking)
    if result.contributions is not None:
        columns[f"{result.value_name}_by_checkpoint"] = list_array(result.contributions[test_index])
    if result.spread is not None:
        columns[f"{result.value_name}_spread"] = number_array(result.spread[test_index])
    if result.norms is not None:
        columns["train_gradient_norm"] = number_array(result.norms.train[test_index])
    if result.self_influences is not None:
        columns[TRAIN] = number_array(result.self_influences.train[test_index])
    return table_of(columns | {"train_index": number_array(ranking.train_index)})


def entry_tables(result: InfluenceResult) -> Iterator[pa.Table]:
    """Give the ranking of each test triple, with the test triple and the rank in every row."""
    for test_index in range(len(result.rankings)):
        table = entries(result, test_index)
        rank = number_array(np.arange(1, len(table) + 1))
        columns = {name: table[name] for name in table.column_names}
        yield table_of(_test_columns(result, test_index, len(table)) | {"rank": rank} | columns)


def long_table(result: InfluenceResult) -> pa.Table:
    """Give the rankings of all test triples, one below the other."""
    return pa.concat_tables(entry_tables(result))


def compact_table(result: InfluenceResult) -> pa.Table:
    """Give the rankings of all test triples by names: few columns, for reading."""
    words = Words.of(result.labels)
    parts = []
    for test_index, ranking in enumerate(result.rankings):
        called = [words.triple(triple) for triple in ranking.triples.tolist()]
        columns: dict[str, pa.Array] = {}
        if result.test_triples is not None:
            columns["test"] = text_array([_test_name(result, words, test_index)] * len(ranking))
        columns["rank"] = number_array(np.arange(1, len(ranking) + 1))
        columns[result.value_name] = number_array(ranking.influence)
        columns |= {role: text_array([triple[place] for triple in called]) for place, role in enumerate(ROLES)}
        parts.append(table_of(columns))
    return pa.concat_tables(parts)


def _test_name(result: InfluenceResult, words: Words, test_index: int) -> str:
    """Name a set, or a test triple with the other tail that it was compared with."""
    if result.sets is not None:
        return result.sets.names[test_index]
    triple, other = result.question(test_index)
    versus = "" if other is None else f", not {words.entities[other]}"
    return f"{' — '.join(words.triple(triple))}{versus}"


def rank_tables(result: InfluenceResult, ranks: ListedRanks) -> Iterator[pa.Table]:
    """Give the ranks of the listed training triples for each test triple, null where they are not ranked."""
    for test_index in range(len(result.rankings)):
        rank = number_array(ranks.rank[test_index])
        is_ranked = pc.not_equal(rank, NOT_RANKED)
        yield table_of(
            _test_columns(result, test_index, len(rank))
            | {"rank": pc.if_else(is_ranked, rank, None)}
            | {"percentile": pc.if_else(is_ranked, number_array(ranks.percentile(test_index)), None)}
            | result.labels.columns(ranks.triples, "train_")
            | {result.value_name: number_array(ranks.influence[test_index])}
            | {"train_index": number_array(ranks.train_index)}
        )


def _test_columns(result: InfluenceResult, test_index: int, size: int) -> dict[str, pa.Array]:
    """Repeat what is asked in every row; for self-influence there is nothing to repeat."""
    if result.test_triples is None:
        return {}
    row: dict[str, pa.Array] = {"test_index": number_array(np.array([test_index]))}
    if result.sets is not None:
        row["test_set"] = text_array([result.sets.names[test_index]])
    else:
        triple, other = result.question(test_index)
        row |= result.labels.columns(np.array([triple]), "test_")
        if other is not None:
            described = result.labels.columns(np.array([[*triple[:2], other]]), "contrast_")
            row |= {key: column for key, column in described.items() if key.startswith("contrast_tail")}
        row |= _prediction(result, test_index) | _test_self_influence(result, test_index)
    return {key: repeated(column, size) for key, column in (row | _test_norm(result, test_index)).items()}


def _prediction(result: InfluenceResult, test_index: int) -> dict[str, pa.Array]:
    """Give the score, the probability and the ranks of a test triple, where they are known."""
    if result.predictions is None:
        return {}
    columns = {
        f"test_{name}": values[test_index : test_index + 1] for name, values in known_numbers(result.predictions)
    }
    return {name: number_array(value) for name, value in columns.items()}


def _test_self_influence(result: InfluenceResult, test_index: int) -> dict[str, pa.Array]:
    """Give the self-influence of a test triple, where it is known."""
    if result.self_influences is None:
        return {}
    return {TEST: number_array(result.self_influences.test[test_index : test_index + 1])}


def _test_norm(result: InfluenceResult, test_index: int) -> dict[str, pa.Array]:
    """Give the norm on the test side, where influences were divided by norms."""
    if result.norms is None:
        return {}
    return {"test_gradient_norm": number_array(result.norms.test[test_index : test_index + 1])}
