"""A result with more test triples: those of an earlier one, and those of a run for the others."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.identity import Json
from tracin_dask.report.json import from_dicts, to_dict
from tracin_dask.report.result import InfluenceResult


def can_be_extended(earlier: InfluenceResult) -> bool:
    """Tell whether answers can be added: each is about one test triple, and none has totals in a file of all."""
    has_ranks = earlier.predictions is not None and earlier.predictions.tail_ranks is not None
    is_alone = earlier.test_triples is not None and earlier.sets is None and earlier.contrast_tails is None
    return is_alone and has_ranks and not earlier.groups and "saved_scores" not in earlier.run


def unanswered(earlier: InfluenceResult, triples: Int[ndarray, "test 3"]) -> Int[ndarray, "new 3"] | None:
    """Give the test triples that a result lacks, each once; None if it has others than these, or lacks none."""
    assert earlier.test_triples is not None  # noqa: S101 - `can_be_extended`
    known, asked = (set(map(tuple, some.tolist())) for some in (earlier.test_triples, triples))
    if not known < asked:
        return None
    new = dict.fromkeys(triple for triple in map(tuple, triples.tolist()) if triple not in known)
    return np.array(list(new), np.int64)


def num_missing(earlier: InfluenceResult, triples: Int[ndarray, "test 3"]) -> int:
    """Count the test triples of a result that are not among others."""
    assert earlier.test_triples is not None  # noqa: S101 - `can_be_extended`
    known, asked = (set(map(tuple, some.tolist())) for some in (earlier.test_triples, triples))
    return len(known - asked)


def extended(
    earlier: InfluenceResult, new: InfluenceResult, triples: Int[ndarray, "test 3"], identity: Mapping[str, Json]
) -> InfluenceResult:
    """Put the answers about all test triples together, in their order; the run is that of the new ones."""
    found = {
        tuple(result.question(index)[0]): to_dict(result, index)
        for result in (earlier, new)
        for index in range(len(result.rankings))
    }
    before = {key: earlier.run[key] for key in ("num_test_triples", "started")}
    extends = [*earlier.run.get("extends", []), before]
    run = dict(new.run) | {"num_test_triples": len(triples), "identity": dict(identity), "extends": extends}
    return from_dicts([found[tuple(triple)] | {"run": run} for triple in triples.tolist()])
