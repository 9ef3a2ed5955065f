"""Splits a graph into training, validation and test triples, such that nothing of the latter leaks into training."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Int, Int8, Int64
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.triples.preparing.draw import By, Units, take, units_of
from tracin_dask.triples.preparing.leaks import RemovedPairs, leaking
from tracin_dask.triples.preparing.pairs import first_lines
from tracin_dask.triples.preparing.whole_graph import WholeGraph
from tracin_dask.triples.sort import KeyLayout

TRAIN, VALID, TEST, SAME_PAIR, INVERSE_PAIR, DUPLICATE = range(6)
"""Where a line goes: into a part; or out of the graph, because it has the two entities of a held-out triple, in its
direction or only in the other one; or because it repeats a line."""
NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitOptions:
    """What is held out.

    Attributes
    ----------
    valid, test
        A fraction of the triples that may be held out (a float), or their number (an integer).
    of_relation
        Ids of the relations whose triples may be held out; of all where none is given.
    by
        What goes to one part as a whole.
    remove_pairs
        Which training triples with a held-out pair of entities are taken out.
    """

    seed: int = 0
    valid: int | float = 0.1
    test: int | float = 0.1
    of_relation: tuple[int, ...] = ()
    by: By = "triple"
    remove_pairs: RemovedPairs = "any"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Where every line of a graph goes, and what had to be done for that."""

    part: Int8[ndarray, " row"]
    """TRAIN, VALID, TEST, SAME_PAIR, INVERSE_PAIR or DUPLICATE."""
    num_candidates: int
    """Distinct triples that may be held out."""
    wanted_valid: int
    wanted_test: int
    num_kept: int = 0
    """Test triples that were chosen by the user."""
    num_returned: int = 0
    """Triples that stay in training because an entity or a relation would be left without a training triple."""
    lost_relations: Int64[ndarray, " lost"] = field(default_factory=lambda: NO_ROWS)
    """Relations all of whose triples were taken out as leaks; no held-out triple has one of them."""

    def count(self, part: int) -> int:
        """Count the lines of a part."""
        return int((self.part == part).sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Draw:
    """The distinct triples, those that may be held out, and which of these must be test triples."""

    triples: Int64[ndarray, "row 3"]
    candidates: Int64[ndarray, " candidate"]
    """Rows of the triples that may be held out."""
    units: Units
    """Of the candidates."""
    is_kept: Bool[ndarray, " unit"]
    num_entities: int
    num_relations: int


def split_graph(graph: WholeGraph, options: SplitOptions, kept: Int64[ndarray, "kept 3"] | None = None) -> Split:
    """Split a graph; the `kept` triples, and all that go with them, become test triples.

    Only triples decide, not their order: units are drawn by a hash of their labels and the seed, those of the test part
    first. A unit with more triples than are still wanted is passed over. Where an entity or relation of a held-out
    triple would have no training triple left, the unit that was drawn last stays in training, and others are drawn in
    its place.

    Raises
    ------
    ConfigError
        If there are not so many triples, no unit is small enough, a kept triple is none that may be held out, or its
        entities or relation would have no training triple left.
    """
    layout = KeyLayout(num_entities=len(graph.entities), num_relations=len(graph.relations))
    is_first = first_lines(graph.triples, layout)
    draw = _draw(graph, np.flatnonzero(is_first), options, kept)
    number = len(draw.candidates)
    valid, test = wanted(options.valid, number), wanted(options.test, number)
    if valid + test > number:
        raise ConfigError(
            f"{valid:,} validation and {test:,} test triples are asked for, but only {number:,} triples may be held "
            "out; ask for fewer, or name more relations with --of-relation"
        )
    of_unit, num_returned = _held_out(draw, options, valid, test)
    part = np.full(len(draw.triples), TRAIN, np.int8)
    part[draw.candidates] = of_unit[draw.units.unit_of]
    _take_out(draw, part, options.remove_pairs)
    _refuse_empty(part, valid, test, options)
    every = np.full(len(graph), DUPLICATE, np.int8)
    every[is_first] = part
    return Split(
        part=every,
        num_candidates=number,
        wanted_valid=valid,
        wanted_test=test,
        num_kept=int(draw.units.sizes[draw.is_kept].sum()),
        num_returned=num_returned,
        lost_relations=_lost_relations(draw, part),
    )


def _take_out(draw: _Draw, part: Int8[ndarray, " row"], pairs: RemovedPairs) -> None:
    """Take the training triples out that give a held-out triple away."""
    is_held = part != TRAIN
    of_code: tuple[tuple[int, RemovedPairs], ...] = ((INVERSE_PAIR, "inverse"), (SAME_PAIR, "same"))
    for code, one in of_code:
        if pairs in {"any", one}:
            part[~is_held & leaking(draw.triples, draw.triples[is_held], draw.num_entities, one)] = code


def wanted(share: int | float, number: int) -> int:
    """Turn a fraction into a number of triples; an integer is one already."""
    return share if isinstance(share, int) else round(share * number)


def _draw(
    graph: WholeGraph, rows: Int64[ndarray, " row"], options: SplitOptions, kept: Int64[ndarray, "kept 3"] | None
) -> _Draw:
    triples = graph.triples[rows]
    may_be_held = np.ones(len(triples), dtype=bool)
    if options.of_relation:
        may_be_held = np.isin(triples[:, 1], options.of_relation)
    candidates = np.flatnonzero(may_be_held)
    units = units_of(triples[candidates], options.by, graph.entities, graph.relations, seed=options.seed)
    is_kept = np.zeros(len(units.sizes), dtype=bool)
    if kept is not None:
        layout = KeyLayout(num_entities=len(graph.entities), num_relations=len(graph.relations))
        is_kept[units.unit_of[np.isin(layout.pack(triples[candidates]), layout.pack(kept))]] = True
    return _Draw(
        triples=triples,
        candidates=candidates,
        units=units,
        is_kept=is_kept,
        num_entities=len(graph.entities),
        num_relations=len(graph.relations),
    )


def _held_out(draw: _Draw, options: SplitOptions, valid: int, test: int) -> tuple[Int8[ndarray, " unit"], int]:
    """Draw the units until each of their entities and relations has a training triple; count what was given back."""
    sizes, stays = draw.units.sizes, np.zeros(len(draw.units.sizes), dtype=bool)
    while True:
        part = np.full(len(sizes), TRAIN, np.int8)
        part[draw.is_kept] = TEST
        left = test - int(sizes[draw.is_kept].sum())
        part[take(sizes, (part == TRAIN) & ~stays, left)] = TEST
        part[take(sizes, (part == TRAIN) & ~stays, valid)] = VALID
        last = _last_to_return(draw, part, options)
        if not len(last):
            return part, int(sizes[stays].sum())
        stays[last] = True


def _last_to_return(draw: _Draw, part: Int8[ndarray, " unit"], options: SplitOptions) -> Int64[ndarray, " returned"]:
    """Find the last drawn unit of each entity and relation that would have no training triple left."""
    is_held = np.zeros(len(draw.triples), dtype=bool)
    is_held[draw.candidates] = part[draw.units.unit_of] != TRAIN
    held = draw.triples[is_held]
    training = draw.triples[~is_held]
    training = training[~leaking(training, held, draw.num_entities, options.remove_pairs)]
    unit = draw.units.unit_of[is_held[draw.candidates]]
    unit = np.where(draw.is_kept[unit], -1, unit)  # these cannot be given back
    found = [NO_ROWS]
    for columns, number in (((0, 2), draw.num_entities), ((1,), draw.num_relations)):
        is_used = np.zeros(number, dtype=bool)
        last = np.full(number, -2, np.int64)
        for column in columns:
            is_used[training[:, column]] = True
            np.maximum.at(last, held[:, column], unit)
        missing = ~is_used & (last > -2)
        if (last[missing] == -1).any():
            raise _untrained(held, columns, missing & (last == -1), options)
        found.append(last[missing])
    return np.unique(np.concatenate(found))


class UntrainedError(ConfigError):
    """A kept test triple whose entity or relation would have no training triple; `triple` are its ids."""

    def __init__(self, message: str, triple: Int[ndarray, "3"], number: int) -> None:
        """Take the message, the first such triple, and how many there are."""
        super().__init__(message)
        self.triple, self.number = triple, number


def _untrained(
    held: Int64[ndarray, "held 3"], columns: tuple[int, ...], is_missing: Bool[ndarray, " id"], options: SplitOptions
) -> UntrainedError:
    rows = np.flatnonzero(is_missing[held[:, list(columns)]].any(axis=1))
    what = "relation" if columns == (1,) else "head or tail"
    loosen = "" if options.remove_pairs == "none" else ", or take fewer training triples out with --remove-pairs"
    message = f"its {what} would have no training triple left; leave it out of --keep-test{loosen}"
    return UntrainedError(message, held[rows[0]], len(rows))


def _refuse_empty(part: Int8[ndarray, " row"], valid: int, test: int, options: SplitOptions) -> None:
    for code, name, number in ((VALID, "valid", valid), (TEST, "test", test)):
        if number and not (part == code).any():
            whole = "" if options.by == "triple" else f" each {options.by} has more triples than {number:,}, or"
            raise ConfigError(
                f"no triple can be held out as --{name}:{whole} all of them are needed in training, where every "
                "entity and relation of a held-out triple must occur; ask for more, name more relations with "
                "--of-relation, or choose another --by or --remove-pairs"
            )


def _lost_relations(draw: _Draw, part: Int8[ndarray, " row"]) -> Int64[ndarray, " lost"]:
    is_used, is_trained = np.zeros(draw.num_relations, dtype=bool), np.zeros(draw.num_relations, dtype=bool)
    is_used[draw.triples[:, 1]] = True
    is_trained[draw.triples[part == TRAIN, 1]] = True
    return np.flatnonzero(is_used & ~is_trained)
