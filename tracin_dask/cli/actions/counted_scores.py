"""Counts among all saved influences how many are larger than those of known training triples, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError, ScoresError
from tracin_dask.places.place import Place
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.truth.comparisons import INFLUENCE, SIZE, Counts, Side
from tracin_dask.report.truth.evaluation import ALL, within
from tracin_dask.runs.sinks.saved_scores import FORMAT_NAME
from tracin_dask.runs.sinks.score_writer import INFLUENCE as ARRAY
from tracin_dask.runs.sinks.score_writer import SELF_INFLUENCE
from tracin_dask.triples.arrays import damage_explained, find_array, open_group
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.store import TripleStore

BLOCK_BYTES = 64 << 20
"""Influences that are read at a time, ..."""
BLOCK_ROWS = 2**20
"""... with their training triples."""
SAME = ("loss", "explain", "normalize", "preconditioner", "preset", "curvature", "damping", "parameters")
"""What the runs of the result and of the saved influences must have in common, besides models and graph."""
REMEDY = "give the array that --save-scores of the same run wrote"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """One test triple: what is known of it among the training triples that may be known, and what is near it."""

    marks: Mapping[str, Bool[ndarray, " candidate"]]
    block: TripleBlock
    rows: Int[ndarray, " candidate"]
    """Rows of the store, ascending."""
    near: Bool[ndarray, " entity"] | None

    @property
    def is_true(self) -> Bool[ndarray, " candidate"]:
        """Which are known by any column."""
        found = np.zeros(len(self.rows), bool)
        for marked in self.marks.values():
            found |= marked
        return found

    def touches(self, triples: Int[ndarray, "row 3"]) -> Bool[ndarray, " row"]:
        """Tell which training triples have an entity near the test triple; all where nothing says which are near."""
        if self.near is None:
            return np.ones(len(triples), bool)
        found: Bool[ndarray, " row"] = self.near[triples[:, 0]] | self.near[triples[:, 2]]
        return found


@dataclass(slots=True, kw_only=True)
class _Counter:
    """Counts values block by block against those of known training triples."""

    lines: Int[ndarray, " true"]
    values: Float[ndarray, " true"]
    larger: Int[ndarray, " true"] = field(init=False)
    equal: Int[ndarray, " true"] = field(init=False)
    earlier: Int[ndarray, " true"] = field(init=False)
    known: Float[ndarray, " known"] = field(init=False)
    """The different values, ascending."""
    place: Int[ndarray, " true"] = field(init=False)
    """Of each known training triple's value among them."""

    def __post_init__(self) -> None:
        self.larger, self.equal, self.earlier = (np.zeros(len(self.lines), np.int64) for _ in range(3))
        self.known, self.place = np.unique(self.values, return_inverse=True)

    def add(self, values: Float[ndarray, " row"], lines: Int[ndarray, " row"]) -> None:
        """Count a block."""
        ordered = np.sort(values)
        first, end = (np.searchsorted(ordered, self.known, side=side) for side in ("left", "right"))
        self.larger += (len(values) - end)[self.place]
        self.equal += (end - first)[self.place]
        for number in np.flatnonzero(end > first):
            same = np.sort(lines[values == self.known[number]])
            members = np.flatnonzero(self.place == number)
            self.earlier[members] += np.searchsorted(same, self.lines[members])

    def side(self) -> Side:
        """Give what was counted."""
        return Side(larger=self.larger, equal=self.equal, earlier=self.earlier)


@dataclass(slots=True, kw_only=True)
class _Tally:
    """The counts of one test triple in one ranking: of influences and of their sizes."""

    counters: Mapping[str, _Counter]
    chosen: Bool[ndarray, " candidate"]
    """The known training triples that the ranking holds."""
    num_ranked: int = 0
    num_zeros: int = 0

    @classmethod
    def of(cls, asked: Asked, influence: Float[ndarray, " candidate"], chosen: Bool[ndarray, " candidate"]) -> "_Tally":
        """Begin to count."""
        values, lines = influence[chosen], asked.block.train_index[chosen]
        counters = {
            INFLUENCE: _Counter(lines=lines, values=values),
            SIZE: _Counter(lines=lines, values=np.abs(values)),
        }
        return cls(counters=counters, chosen=chosen)

    def add(self, influence: Float[ndarray, " row"], lines: Int[ndarray, " row"]) -> None:
        """Count a block."""
        self.num_ranked += len(lines)
        self.num_zeros += int((influence == 0).sum())
        if self.chosen.any():
            self.counters[INFLUENCE].add(influence, lines)
            self.counters[SIZE].add(np.abs(influence), lines)

    def counts(self, asked: Asked) -> dict[str, Counts]:
        """Give what was counted, by column."""
        whole = Counts(
            influence=self.counters[INFLUENCE].values,
            sides={kind: counter.side() for kind, counter in self.counters.items()},
            num_ranked=self.num_ranked,
            num_zeros=self.num_zeros,
        )
        return {name: whole.take(is_true[self.chosen]) for name, is_true in asked.marks.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedInfluences:
    """The array of all influences of a run, in the order of the store's rows."""

    path: Place
    array: zarr.Array[Any]

    @property
    def tests_at_a_time(self) -> int:
        """Test triples whose influences lie in the same chunks."""
        return 1 if self.array.ndim == 1 else int(self.array.chunks[0])

    def count(
        self, store: TripleStore, start: int, questions: Sequence[Asked], hops: int | None
    ) -> list[dict[str, dict[str, Counts]]]:
        """Count for test triples from `start` on: gives, for each, the counts by ranking and column.

        Reads the influences twice: those of the known training triples first, then all, to compare.

        Raises
        ------
        ScoresError
            If a part of the array is missing or damaged.
        """
        influences = self._of_candidates(start, questions)
        tallies = [list(_tallies(asked, values, hops)) for asked, values in zip(questions, influences, strict=True)]
        for first, values in self.blocks(start, len(questions)):
            block = store.read(first, first + values.shape[1])
            for asked, row, found in zip(questions, values, tallies, strict=True):
                for name, tally in found:
                    if name == ALL:
                        tally.add(row, block.train_index)
                    else:
                        is_near = asked.touches(block.triples)
                        tally.add(row[is_near], block.train_index[is_near])
        return [
            {name: tally.counts(asked) for name, tally in found}
            for asked, found in zip(questions, tallies, strict=True)
        ]

    def _of_candidates(self, start: int, questions: Sequence[Asked]) -> Float[ndarray, "test candidate"]:
        """Read the influences of the training triples that may be known."""
        rows = questions[0].rows
        found = np.zeros((len(questions), len(rows)), np.float32)
        for first, values in self.blocks(start, len(questions)):
            low, high = np.searchsorted(rows, [first, first + values.shape[1]]).tolist()
            found[:, low:high] = values[:, rows[low:high] - first]
        return found

    def blocks(self, start: int, count: int) -> Iterator[tuple[int, Float[ndarray, "test row"]]]:
        """Read the influences on some test triples in blocks of whole chunks, each with its first row."""
        number, chunk = self.array.shape[-1], self.array.chunks[-1]
        step = chunk * max(1, min(BLOCK_BYTES // (4 * count), BLOCK_ROWS) // chunk)
        for first in range(0, number, step):
            last = min(first + step, number)
            with damage_explained(str(self.path), f"influences {first}:{last} are damaged", REMEDY):
                read = self.array[first:last] if self.array.ndim == 1 else self.array[start : start + count, first:last]
                values = np.atleast_2d(np.asarray(read))
            if np.isnan(values).any():
                raise ScoresError(f"{self.path}: influences of rows {first} to {last} are missing; {REMEDY}")
            yield first, values


def _tallies(asked: Asked, influence: Float[ndarray, " candidate"], hops: int | None) -> Iterator[tuple[str, _Tally]]:
    """Begin to count in every ranking: all training triples, and those near the test triple."""
    is_true = asked.is_true
    yield ALL, _Tally.of(asked, influence, is_true)
    if hops is not None and asked.near is not None:
        is_near = asked.touches(asked.block.triples)
        yield within(ALL, hops), _Tally.of(asked, influence, is_true & is_near)


def open_saved(path: Place, result: InfluenceResult) -> SavedInfluences:
    """Open the saved influences of the run that made a result.

    Raises
    ------
    ConfigError
        If they are of another run.
    ScoresError
        If there are none, or not all.
    """
    try:
        group = open_group(str(path), "no saved influences that can be read", REMEDY)
    except FileNotFoundError as error:
        raise ScoresError(f"{path}: no saved influences; {REMEDY}") from error
    attributes = group.attrs.asdict()
    array = find_array(group, SELF_INFLUENCE if result.test_triples is None else ARRAY)
    if attributes.get("format") != FORMAT_NAME or array is None:
        raise ScoresError(f"{path}: holds no influences of such a run; {REMEDY}")
    if not attributes.get("complete"):
        raise ScoresError(f"{path}: not all influences were saved: the run was interrupted; finish it, then evaluate")
    run: Any = attributes.get("run")
    differing = _differing(group, run, result)
    if differing:
        raise ConfigError(f"{path}: is of another run than the result: other {' and '.join(differing)}; {REMEDY}")
    return SavedInfluences(path=path, array=array)


def _differing(group: zarr.Group, run: Mapping[str, Any], result: InfluenceResult) -> list[str]:
    """Name what the two runs do not have in common."""
    hashes = [[one.get("sha256") for one in about.get("checkpoints", ())] for about in (run, result.run)]
    prints = [about.get("store", {}).get("fingerprint") for about in (run, result.run)]
    found = ["checkpoints"] if hashes[0] != hashes[1] else []
    found += ["training triples"] if prints[0] != prints[1] else []
    parts = {
        "test triples": ("test_triples", result.test_triples),
        "other tails": ("contrast_tails", result.contrast_tails),
    }
    parts["sets"] = ("set_of_test", None if result.sets is None else result.sets.of_test)
    for what, (name, expected) in parts.items():
        stored = find_array(group, name)
        if not _is_equal(None if stored is None else np.asarray(stored[:]), expected):
            found.append(what)
    return found + [name for name in SAME if run.get(name) != result.run.get(name)]


def _is_equal(stored: ndarray | None, expected: ndarray | None) -> bool:
    if stored is None or expected is None:
        return stored is expected
    return np.array_equal(stored, expected)
