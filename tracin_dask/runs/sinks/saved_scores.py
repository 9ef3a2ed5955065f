"""The array of all influences on disk (Zarr v3): laid out before a run, claimed by it, declared complete at its end.

Workers write the chunks themselves (`score_writer`), so the array has to lie where all of them see it, as the store
does. Records of finished rows are written by the client, for they are small; all influences through one client would be
as much data as the run makes, over one connection.
"""

import contextlib
import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from dask.utils import format_bytes
from jaxtyping import Int
from numpy import ndarray
from zarr.codecs import Crc32cCodec, ZstdCodec

from tracin_dask.errors import ScoresError
from tracin_dask.places.files import exists
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.report.sets import TestSets
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.sinks.score_writer import INFLUENCE, ITEM_BYTES, SELF_INFLUENCE, ScoresPlace, explained
from tracin_dask.triples.arrays import find_array
from tracin_dask.triples.store import TripleStore

FORMAT_NAME = "tracin-dask scores"
FORMAT_VERSION = 1
CHUNK_BYTES = 4 * 2**20
"""What a chunk may take; one that has a whole batch of a single test triple may take more."""
INDEX_ROWS = 262_144
"""Rows of `train_index` in a chunk."""
NO_LINE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What is to be saved: the influences of all training triples, in the order of the store's rows."""

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
        """Give the shape of a chunk: one batch of training triples, since every task has whole batches.

        So each chunk has one writer, however the rows are cut into tasks; several would overwrite each other's part.
        """
        num_tests = max(1, CHUNK_BYTES // (ITEM_BYTES * batch_size))
        return (batch_size,) if self.test_triples is None else (min(num_tests, self.shape[0]), batch_size)

    def __str__(self) -> str:
        """Say what the array is, how large, and where."""
        size = " × ".join(f"{length:,}" for length in self.shape)
        return f"{size} float32, {format_bytes(self.num_bytes)} at {self.path}"


def scores_of(prepared: PreparedRun) -> Scores | None:
    """Give what a run saves beside its result; None if that was not asked for."""
    if prepared.config.saving.save_scores is None:
        return None
    return Scores(
        path=place_of(prepared.config.saving.save_scores).absolute(),
        store=prepared.store,
        test_triples=prepared.test_triples,
        contrast_tails=prepared.contrast_tails,
        sets=prepared.sets,
    )


def check_place(scores: Scores) -> None:
    """Refuse, before anything is started, a place that other data have, or that cannot take the scores.

    Raises
    ------
    ScoresError
        If the path is no saved scores, this process may not write there, or less is free than is still to be written.
    """
    found, left = _found(scores.path), scores.num_bytes
    if found is not None:
        array = find_array(found, scores.name)
        if array is not None and array.shape == scores.shape:
            left -= left * array.nchunks_initialized // array.nchunks
    with explained(scores.path):
        scores.path.check_writable()
        free = scores.path.free_bytes()
    if free is not None and left > free:
        raise ScoresError(
            f"{scores.path}: up to {left:,} bytes of scores are to be written, but {free:,} bytes are free there; "
            "make room, choose another place (--save-scores), or explain fewer test triples at a time"
        )


def claim(
    scores: Scores, identity: Mapping[str, Any], batch_size: int, *, has_records: bool, restart: bool
) -> ScoresPlace:
    """Make the array, or go on with the one that the same run began; gives where workers find it.

    `identity` states all that the scores depend on; `has_records` says that some of the run's rows are finished.

    Raises
    ------
    ScoresError
        If the path has the scores of another run, or complete ones; if finished rows are nowhere to be found; if the
        array cannot be written.
    """
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    found = _found(scores.path)
    if found is None and has_records:
        raise ScoresError(
            f"{scores.path}: missing, but it holds the rows that an interrupted run has finished; "
            "put it back, or pass --restart to compute all rows again"
        )
    if found is not None:
        _refuse_another(scores.path, found.attrs.asdict(), digest, has_records=has_records, restart=restart)
    if found is None or restart:
        _create(scores, digest, batch_size)
    return ScoresPlace(path=scores.path, identity=digest)


def complete(scores: Scores, about: Mapping[str, Any]) -> None:
    """Declare the array complete, and state how its numbers were made.

    Raises
    ------
    ScoresError
        If chunks are missing after all, or the file system refuses.
    """
    with explained(scores.path):
        group = zarr.open_group(scores.path.zarr_store(), mode="r+", zarr_format=3)
        array = find_array(group, scores.name)
        assert array is not None  # noqa: S101 - made by `claim`
        missing = array.nchunks - array.nchunks_initialized
        if missing:
            raise ScoresError(
                f"{scores.path}: {missing:,} of {array.nchunks:,} chunks of {scores.name} are missing, although all "
                "rows were scored; were files deleted? Pass --restart to compute them again"
            )
        group.attrs.update({"run": dict(about), "complete": True})
        with warnings.catch_warnings():  # xarray looks for consolidated metadata, which zarr calls no standard yet
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(group.store)


def _found(path: Place) -> zarr.Group | None:
    """Give the saved scores at a path; None if there is nothing."""
    if not exists(path):
        return None
    with contextlib.suppress(OSError, ValueError):
        group = zarr.open_group(path.zarr_store(), mode="r", zarr_format=3)
        if group.attrs.get("format") == FORMAT_NAME and group.attrs.get("format_version") == FORMAT_VERSION:
            return group
    raise ScoresError(
        f"{path}: exists already, and is no array of scores that this run could go on with; choose another path"
    )


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
            f"{path}: exists already, with all scores of this run; take them from there, or pass --restart to compute "
            "them again"
        )


def _create(scores: Scores, digest: str, batch_size: int) -> None:
    """Put an array without any scores in place, with what the client knows."""
    with explained(scores.path), scores.path.new_folder(overwrite=True) as part:
        group = zarr.create_group(part.zarr_store(), zarr_format=3)
        names = ("train",) if scores.test_triples is None else (scores.answer_dimension, "train")
        group.create_array(
            scores.name,
            shape=scores.shape,
            dtype=np.float32,
            chunks=scores.chunks(batch_size),
            compressors=[ZstdCodec(level=1), Crc32cCodec()],  # many influences are 0 where few tensors are tracked
            fill_value=np.nan,  # what no influence is: a missing chunk must not read as 0
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
