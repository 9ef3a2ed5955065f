"""What the ids of a result are called: labels always, readable names where they are known."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.errors import ResultError
from tracin_dask.report.arrow import number_array, text_array
from tracin_dask.report.equal import EqualByParts
from tracin_dask.visible import visible

ROLES = ("head", "relation", "tail")
_PREFIX = re.compile(r"([^:\s]+)(?:::|:(?!:|//)).", re.DOTALL)
"""`CHEBI:34911`, `Compound::DB01586`; not `http://...`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Texts(EqualByParts):
    """The labels and names of some ids."""

    ids: Int[ndarray, " id"]
    """Ascending, each once."""
    labels: pa.StringArray
    names: pa.StringArray
    """Null where none is known."""

    @classmethod
    def of(cls, known: Mapping[int, tuple[str, str | None]]) -> "Texts":
        """Make them from the label and the name of each id."""
        ids = sorted(known)
        labels, names = (text_array([known[number][part] for number in ids]) for part in (0, 1))
        return cls(ids=np.array(ids, np.int64), labels=labels, names=names)

    def take(self, ids: Int[ndarray, " row"]) -> tuple[pa.StringArray, pa.StringArray]:
        """Give the labels and the names of ids.

        Raises
        ------
        ResultError
            If one is not among those that are known.
        """
        places = np.searchsorted(self.ids, ids)
        is_known = (self.ids.take(places, mode="clip") == ids) if len(self.ids) else np.zeros(len(ids), bool)
        if not is_known.all():
            raise ResultError(f"the result has no label of id {ids[~is_known][0]}: it knows those of its own triples")
        chosen = number_array(places)
        return self.labels.take(chosen), self.names.take(chosen)

    @property
    def has_names(self) -> bool:
        """Whether any id has a name."""
        return bool(self.names.null_count < len(self.names))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels(EqualByParts):
    """The labels and names of exactly the entities and relations that a result is about."""

    entities: Texts = field(repr=False)
    relations: Texts = field(repr=False)

    def columns(self, triples: Int[ndarray, "row 3"], prefix: str = "") -> dict[str, pa.Array]:
        """Give the ids, labels and names of triples, under keys like `train_head`, `train_head_label`.

        There are columns of names only where some are known.
        """
        columns: dict[str, pa.Array] = {}
        for role, numbers in zip(ROLES, np.ascontiguousarray(triples.T), strict=True):
            texts = self.relations if role == "relation" else self.entities
            labels, names = texts.take(numbers)
            columns |= {f"{prefix}{role}": number_array(numbers), f"{prefix}{role}_label": labels}
            if texts.has_names:
                columns[f"{prefix}{role}_name"] = names
        return columns

    def describe(self, triple: Sequence[int]) -> dict[str, int | str]:
        """Give the ids, labels and known names of one triple under keys like `head`, `head_label`."""
        columns = self.columns(np.array([triple], np.int64))
        values = {key: column[0].as_py() for key, column in columns.items()}
        return {key: value for key, value in values.items() if value is not None}

    def call(self, triple: Sequence[int]) -> tuple[str, str, str]:
        """Call the head, relation and tail by their readable names, or else by their labels; safe to print."""
        known = self.describe(triple)
        texts = (str(known.get(f"{role}_name", known[f"{role}_label"])) for role in ROLES)
        head, relation, tail = map(visible, texts)
        return head, relation, tail


def prefix(label: str) -> str:
    """Give the type of an entity by its label: what stands before the first `:` or `::`; empty where nothing does."""
    found = _PREFIX.match(label)
    return found[1] if found else ""
