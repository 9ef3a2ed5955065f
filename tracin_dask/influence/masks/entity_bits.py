"""A set of entities for each test triple: a bit for each entity that is in any of them, and each test triple."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8
from numpy import ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EntityBits:
    """Sets of entities, one for each test triple; entities that are in none of them share a row without bits."""

    row_of_entity: Int32[ndarray, " entity"]
    bits: UInt8[ndarray, "row byte"]

    @classmethod
    def of(cls, table: UInt8[ndarray, "entity byte"], num_tests: int) -> "EntityBits":
        """Keep the rows with bits of a table that has a row for each entity, and only the bytes of the test triples."""
        chosen = np.flatnonzero(table.any(axis=1))
        row_of_entity = np.zeros(len(table), np.int32)
        row_of_entity[chosen] = np.arange(1, len(chosen) + 1)
        bits = np.zeros((len(chosen) + 1, -(-num_tests // 8)), np.uint8)
        bits[1:] = table[chosen, : bits.shape[1]]
        return cls(row_of_entity=row_of_entity, bits=bits)

    @property
    def num_bytes(self) -> int:
        """Count what it holds."""
        return self.row_of_entity.nbytes + self.bits.nbytes

    @property
    def num_entities(self) -> int:
        """Count the entities of the graph."""
        return len(self.row_of_entity)

    def at(self, entities: Int[ndarray, " row"]) -> UInt8[ndarray, "row byte"]:
        """Give the bits of some entities: the sets that each is in."""
        found: UInt8[ndarray, "row byte"] = self.bits[self.row_of_entity[entities]]
        return found


def unpacked(bits: UInt8[ndarray, "row byte"], num_tests: int) -> Bool[ndarray, "row test"]:
    """Give a truth value for each bit."""
    return np.unpackbits(bits, axis=1, count=num_tests, bitorder="little").view(np.bool_)
