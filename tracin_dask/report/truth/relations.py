"""Which relations of a graph a predicate names: by equality, or by the predicate without qualifiers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from jaxtyping import Int
from numpy import ndarray

_QUALIFIED = re.compile(r"(.+?) \(.*\)", flags=re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations:
    """Relations by what they are called."""

    equal: dict[str, list[int]]
    """By label and by readable relation, e.g. `biolink:affects (expression, increased)`."""
    base: dict[str, list[int]]
    """By readable relation without qualifiers, e.g. `biolink:affects`."""

    @classmethod
    def of(cls, ids: Int[ndarray, " relation"], labels: Iterable[str], names: Iterable[str | None]) -> "Relations":
        """Collect the texts of relations; a name may be missing or empty."""
        equal: dict[str, list[int]] = {}
        base: dict[str, list[int]] = {}
        for number, label, name in zip(ids.tolist(), labels, names, strict=True):
            texts = {label, readable(label, name)}
            for text in texts:
                equal.setdefault(text, []).append(number)
            for text in texts | {without_qualifiers(text) for text in texts}:
                base.setdefault(text, []).append(number)
        return cls(equal=equal, base=base)

    def ids(self, predicate: str, *, strict: bool) -> list[int]:
        """Find the relations that a predicate names; none where the graph has no such relation."""
        return (self.equal if strict else self.base).get(predicate, [])


def readable(label: str, name: str | None) -> str:
    """Give the readable relation, without the label that is added where two read the same; or else the label."""
    return name.removesuffix(f" [{label}]") if name else label


def without_qualifiers(text: str) -> str:
    """Give the predicate alone."""
    found = _QUALIFIED.fullmatch(text)
    return text if found is None else found[1]
