"""The order in which triples are drawn for the held-out parts: by a hash of their labels and the seed.

The order depends neither on the order of the lines nor on ids, and not on the version of a generator of random numbers.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int, UInt64
from numpy import ndarray

from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.preparing.pairs import pair_codes

By = Literal["triple", "head", "tail", "pair"]
"""What is drawn: single triples, or all triples of a head, of a tail, or of two entities in any direction."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Units:
    """What is drawn together, in the order of the draw."""

    unit_of: Int[ndarray, " row"]
    """The place of each triple's unit in the draw."""
    sizes: Int[ndarray, " unit"]
    """Triples of each, in the order of the draw."""


def units_of(triples: Int[ndarray, "row 3"], by: By, entities: IdMap, relations: IdMap, *, seed: int) -> Units:
    """Put triples together that are drawn together, and order these units by their hashes."""
    of_entity, of_relation = label_hashes(entities.labels, seed), label_hashes(relations.labels, seed)
    head, relation, tail = triples.T
    match by:
        case "triple":
            unit, keys = np.arange(len(triples)), _mixed(of_entity[head], of_relation[relation], of_entity[tail])
        case "head" | "tail":
            distinct, unit = np.unique(head if by == "head" else tail, return_inverse=True)
            keys = _mixed(of_entity[distinct])
        case "pair":
            low, high = np.minimum(head, tail), np.maximum(head, tail)
            codes, unit = np.unique(pair_codes(low, high, len(entities)), return_inverse=True)
            hashes = np.sort(of_entity[np.stack(np.divmod(codes, len(entities)))], axis=0)
            keys = _mixed(*hashes)
    order = np.argsort(keys, kind="stable")
    place = np.empty(len(keys), np.int64)
    place[order] = np.arange(len(keys))
    unit_of = place[unit.ravel()]
    return Units(unit_of=unit_of, sizes=np.bincount(unit_of, minlength=len(keys)))


def take(sizes: Int[ndarray, " unit"], is_free: Bool[ndarray, " unit"], wanted: int) -> Int[ndarray, " taken"]:
    """Take units in the order of the draw, none of which makes the triples more than wanted."""
    free = np.flatnonzero(is_free)
    if (sizes[free] == 1).all():
        return free[: max(wanted, 0)]
    taken, left = [], wanted
    for unit, size in zip(free.tolist(), sizes[free].tolist(), strict=True):
        if size <= left:
            taken.append(unit)
            left -= size
        if left <= 0:
            break
    return np.array(taken, dtype=np.int64)


def label_hashes(labels: pa.StringArray, seed: int) -> UInt64[ndarray, " label"]:
    """Hash labels together with the seed."""
    key = str(seed).encode()
    digests = [hashlib.blake2b(label.encode(), digest_size=8, key=key).digest() for label in labels.to_pylist()]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _mixed(*hashes: UInt64[ndarray, " row"]) -> UInt64[ndarray, " row"]:
    """Make one hash of several, whose order counts, by the finalizer of SplitMix64 after each."""
    mixed = np.zeros(len(hashes[0]), dtype=np.uint64)
    for one in hashes:
        mixed = mixed * np.uint64(3) + one
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed
