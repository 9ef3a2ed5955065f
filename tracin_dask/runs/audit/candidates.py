"""What an audit tries, one after the other: answers, and training triples to compare their influences on these."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from jaxtyping import Int
from numpy import array_split, ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.runs.audit.choice import Chosen
from tracin_dask.runs.audit.limits import MOST_ANSWERS, TRIES
from tracin_dask.triples.store import TripleStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Test triples that are one answer."""

    number: int
    """The answer of the run."""
    targets: Targets
    is_whole: bool = True
    """Whether these are all of its test triples, and not one of a set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A training triple, with the influence that the list of an answer states, if it is from a list."""

    triple: Int[ndarray, " 3"]
    answer: int | None = None
    influence: float = 0.0


def whole_answers(targets: Targets, chosen: Chosen) -> Iterator[Answer]:
    """Give the chosen answers."""
    for number in chosen.listed:
        yield Answer(number=number, targets=targets.take(number, number + 1))


def members(targets: Targets, chosen: Chosen) -> Iterator[Answer]:
    """Give test triples of the first chosen set, one by one: large sets lie near some kink."""
    if targets.answers is None:
        return
    number = next(iter(chosen.listed))
    alone = replace(targets.take(number, number + 1), answers=None)
    for place in range(min(len(alone.triples), MOST_ANSWERS * TRIES)):
        yield Answer(number=number, targets=alone.take(place, place + 1), is_whole=False)


def candidates(store: TripleStore, answers: Sequence[Answer] | None, chosen: Chosen) -> Iterator[Candidate]:
    """Give training triples in turns: of the list of each answer, then as many random ones; each triple once."""
    numbers = [0] if answers is None else [answer.number for answer in answers]
    lists = (_listed(number, chosen) for number in numbers)
    random = (_random(store, rows) for rows in array_split(chosen.rows, len(numbers)))
    seen = set()
    for candidate in chain.from_iterable(zip_longest(*lists, *random)):
        if candidate is not None and (key := tuple(candidate.triple.tolist())) not in seen:
            seen.add(key)
            yield candidate


def _listed(number: int, chosen: Chosen) -> Iterator[Candidate]:
    listed = chosen.listed[number]
    for triple, influence in zip(listed.triples, listed.influence.tolist(), strict=True):
        yield Candidate(triple=triple, answer=number, influence=influence)


def _random(store: TripleStore, rows: Int[ndarray, " row"]) -> Iterator[Candidate]:
    """Read rows one by one, when they are tried."""
    for row in rows.tolist():
        yield Candidate(triple=store.read(row, row + 1).triples[0])
