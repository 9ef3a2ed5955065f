"""The Zarr array of all influences: created before a run, marked complete at its end.

Workers write the chunks themselves (`score_writer`), so all of them must see the array, like the store. The client
writes only the records of finished rows, which are small: all influences would not fit through its one connection.
"""

import contextlib
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from dask.utils import format_bytes
from jaxtyping import Int
from numpy import ndarray
from zarr.codecs import Crc32cCodec, ZstdCodec

from tracin_dask.errors import ScoresError, StoreError
from tracin_dask.places.files import exists, locked_file
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.report.sets import TestSets
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.sinks.score_writer import INFLUENCE, ITEM_BYTES, SELF_INFLUENCE, ScoresAddress, explained
from tracin_dask.triples.arrays import damage_explained, find_array, open_group
from tracin_dask.triples.store import TripleStore

FORMAT_NAME = "tracin-dask scores"
FORMAT_VERSION = 1
CHUNK_BYTES = 4 * 2**20
"""Upper limit of a chunk; a chunk with a whole batch of a single test triple may be larger."""
INDEX_ROWS = 262_144
"""Rows of `train_index` in a chunk."""
NO_LINE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The influences to save: of all training triples, in the order of the rows of the store."""

    path: Place
    store: TripleStore
    test_triples: Int[ndarray, "test 3"] | None
    """None for self-influence."""
    contrast_tails: Int[ndarray, " test"] | None
    sets: TestSets | None = None
    """Which test triples are one answer; None where each is one."""

    @property
    def num_answers(self) -> int:
        """Count the answers: test triples, or sets of them."""
        if self.sets is not None:
            return len(self.sets)
        return 1 if self.test_triples is None else len(self.test_triples)

    @property
    def name(self) -> str:
        """The name of the array."""
        return SELF_INFLUENCE if self.test_triples is None else INFLUENCE

    @property
    def shape(self) -> tuple[int, ...]:
        """(answer, train), or (train,)."""
        return (len(self.store),) if self.test_triples is None else (self.num_answers, len(self.store))

    @property
    def answer_dimension(self) -> str:
        """What the first axis counts: test triples, or sets of them."""
        return "test" if self.sets is None else "set"

    @property
    def num_bytes(self) -> int:
        """Bytes of the array before it is compressed."""
        return int(np.prod(self.shape)) * ITEM_BYTES

    def chunks(self, batch_size: int) -> tuple[int, ...]:
        """Return the shape of a chunk: one batch of training triples.

        A task has whole batches, so each chunk has one writer, whatever the tasks; several writers of a chunk would
        overwrite each other.
        """
        num_tests = max(1, CHUNK_BYTES // (ITEM_BYTES * batch_size))
        return (batch_size,) if self.test_triples is None else (min(num_tests, self.shape[0]), batch_size)

    def __str__(self) -> str:
        """Describe the array: its shape, its size and its place."""
        size = " × ".join(f"{length:,}" for length in self.shape)
        return f"{size} float32, {format_bytes(self.num_bytes)} at {self.path}"


def scores_of(prepared: PreparedRun) -> Scores | None:
    """Return the scores that a run saves; None if it saves none."""
    if prepared.config.saving.save_scores is None:
        return None
    return Scores(
        path=place_of(prepared.config.saving.save_scores).absolute(),
        store=prepared.store,
        test_triples=prepared.test_triples,
        contrast_tails=prepared.contrast_tails,
        sets=prepared.sets,
    )


@contextlib.contextmanager
def locked(scores: Scores) -> Iterator[None]:
    """Let no other run write these scores until the block ends.

    Raises
    ------
    BusyError
        If another run writes there; the message names its process.
    ScoresError
        As `check_place`.
    """
    check_place(scores)
    with contextlib.ExitStack() as stack:
        with explained(scores.path):
            scores.path.parent.make_folder()
            stack.enter_context(locked_file(scores.path))
        yield


def check_place(scores: Scores) -> None:
    """Refuse a place that holds other data or has no room, before anything starts.

    Raises
    ------
    ScoresError
        If the path holds anything but saved scores, this process cannot write there, or too few bytes are free.
    """
    found, left = _found(scores.path), scores.num_bytes
    if found is not None:
        with damage_explained(str(scores.path), "damaged scores", "choose another path (--save-scores)"):
            array = find_array(found, scores.name)
        if array is not None and array.shape == scores.shape:
            left -= left * array.nchunks_initialized // array.nchunks
    with explained(scores.path):
        scores.path.check_writable()
        free = scores.path.free_bytes()
    if free is not None and left > free:
        raise ScoresError(
            f"{scores.path}: the scores take up to {left:,} more bytes, but only {free:,} bytes are free; "
            "make room, choose another place (--save-scores), or explain fewer test triples at a time"
        )


def claim(
    scores: Scores, identity: Mapping[str, Any], batch_size: int, *, has_records: bool, restart: bool
) -> ScoresAddress:
    """Create the array, or continue the array of the same run; return its address for the workers.

    `identity` holds everything that the scores depend on; `has_records` says whether rows of the run are finished.

    Raises
    ------
    ScoresError
        If the path holds the scores of another run, or complete scores; if the scores of finished rows are missing; if
        the array cannot be written.
    """
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    found = _found(scores.path)
    if found is None and has_records:
        raise ScoresError(
            f"{scores.path}: missing, but an interrupted run recorded that its finished rows are in it; "
            "put it back, or pass --restart to compute all rows again"
        )
    if found is not None:
        _refuse_another(scores.path, found.attrs.asdict(), digest, has_records=has_records, restart=restart)
    if found is None or restart:
        _create(scores, digest, batch_size)
    return ScoresAddress(path=scores.path, identity=digest)


def complete(scores: Scores, about: Mapping[str, Any]) -> None:
    """Mark the array complete, and add the metadata of the run.

    Raises
    ------
    ScoresError
        If chunks are missing, or the metadata cannot be written.
    """
    with explained(scores.path):
        group = zarr.open_group(scores.path.zarr_store(), mode="r+", zarr_format=3)
        array = find_array(group, scores.name)
        assert array is not None  # noqa: S101 - made by `claim`
        missing = array.nchunks - array.nchunks_initialized
        if missing:
            raise ScoresError(
                f"{scores.path}: {missing:,} of {array.nchunks:,} chunks of {scores.name} are missing, although all "
                "rows are recorded as finished; were files deleted? Pass --restart to compute them again"
            )
        group.attrs.update({"run": dict(about), "complete": True})
        with warnings.catch_warnings():  # xarray looks for consolidated metadata, which zarr calls no standard yet
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(group.store)


def are_all_there(path: Place) -> bool:
    """Tell whether a path has complete scores, of which no chunk is missing."""
    try:
        found = _found(path)
    except ScoresError:
        return False
    arrays = [] if found is None else [find_array(found, INFLUENCE, SELF_INFLUENCE)]
    is_complete = found is not None and bool(found.attrs.get("complete"))
    return is_complete and all(one is not None and one.nchunks_initialized == one.nchunks for one in arrays)


def _found(path: Place) -> zarr.Group | None:
    """Return the saved scores at a path; None if nothing exists there."""
    if not exists(path):
        return None
    with contextlib.suppress(OSError, StoreError):
        group = open_group(str(path), "damaged scores", "choose another path")
        if group.attrs.get("format") == FORMAT_NAME and group.attrs.get("format_version") == FORMAT_VERSION:
            return group
    raise ScoresError(f"{path}: exists already, but holds no scores that this run can continue; choose another path")


def _refuse_another(
    path: Place, attributes: Mapping[str, Any], digest: str, *, has_records: bool, restart: bool
) -> None:
    is_same, is_complete = attributes.get("identity") == digest, attributes.get("complete")
    if not is_same and (is_complete or not restart):
        raise ScoresError(
            f"{path}: exists already, with {'' if is_complete else 'a part of '}the scores of another run "
            f"(other inputs, options or version); choose another path, or delete it"
            f"{'' if is_complete else ' or pass --restart to discard it'}"
        )
    if is_complete and not has_records and not restart:
        raise ScoresError(
            f"{path}: exists already, with all scores of this run; use them, or pass --restart to compute them again"
        )


def _create(scores: Scores, digest: str, batch_size: int) -> None:
    """Create the array without scores, and write train_index and the test triples."""
    with explained(scores.path), scores.path.new_folder(overwrite=True) as part:
        group = zarr.create_group(part.zarr_store(), zarr_format=3)
        names = ("train",) if scores.test_triples is None else (scores.answer_dimension, "train")
        group.create_array(
            scores.name,
            shape=scores.shape,
            dtype=np.float32,
            chunks=scores.chunks(batch_size),
            compressors=[ZstdCodec(level=1), Crc32cCodec()],  # with few tracked tensors many influences are 0
            fill_value=np.nan,  # no influence is NaN: a missing chunk must not read as 0
            dimension_names=names,
            attributes={"coordinates": "train_index"},
        )
        _write_train_index(group, scores.store)
        if scores.test_triples is not None:
            _write(group, "test_triples", scores.test_triples, ("test", "part"))
        if scores.sets is not None:
            _write(group, "set_of_test", scores.sets.of_test, ("test",))
            group.attrs["sets"] = list(scores.sets.names)
        if scores.contrast_tails is not None:
            _write(group, "contrast_tails", scores.contrast_tails, ("test",))
        group.attrs.update(
            {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, "identity": digest, "complete": False}
        )


def _write_train_index(group: zarr.Group, store: TripleStore) -> None:
    lines = group.create_array(
        "train_index",
        shape=(len(store),),
        dtype=np.int64,
        chunks=(min(INDEX_ROWS, len(store)),),
        fill_value=NO_LINE,
        dimension_names=("train",),
    )
    for start in range(0, len(store), INDEX_ROWS):
        stop = min(start + INDEX_ROWS, len(store))
        lines[start:stop] = store.read(start, stop).train_index


def _write(group: zarr.Group, name: str, values: ndarray, dimension_names: tuple[str, ...]) -> None:
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, fill_value=NO_LINE, dimension_names=dimension_names
    )
    array[...] = values
