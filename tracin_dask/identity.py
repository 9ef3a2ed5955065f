"""What tells one value from another in the results of a run: fields of frozen dataclasses declare what they change."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeAlias

import numpy as np

Json: TypeAlias = Any
"""A value that JSON can hold."""
Effect = Literal["scores", "records", "result", "nothing"]
"""The bits of influences; or only what is recorded of them; or only what is reported of that; or nothing."""
_KEY = "changes"
_DIGEST, _SHOWN_DIGITS = re.compile(r"\b[0-9a-f]{64}\b"), 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What the value of a field changes."""

    effect: Effect
    through: str | None
    """What a run states instead, where the value matters through that alone: the tensors that patterns match."""
    by: Callable[[Any], Json]
    """Gives what tells the value from others."""


def changes(
    effect: Effect, *, through: str | None = None, by: Callable[[Any], Json] | None = None
) -> Mapping[str, Changes]:
    """Declare what the value of a field changes: `top_k: int = field(default=10, metadata=changes("records"))`.

    `through` names what a run states in place of the value, where the value matters through that alone. `by` gives what
    tells the value from others; without it, `identity` does.
    """
    return {_KEY: Changes(effect=effect, through=through, by=by or identity)}


def declared(owner: type, field: Field[Any]) -> Changes:
    """Give what a field declares.

    Raises
    ------
    TypeError
        If it declares nothing.
    """
    found: Changes | None = field.metadata.get(_KEY)
    if found is None:
        raise TypeError(
            f"{owner.__name__}.{field.name} does not declare what its value changes; write "
            'field(metadata=changes("scores")), or "records", "result" or "nothing" (tracin_dask.identity)'
        )
    return found


def undeclared(owner: type) -> Iterator[str]:
    """Name the fields of a dataclass that do not declare what they change."""
    assert is_dataclass(owner)  # noqa: S101 - nothing else has fields
    return (f"{owner.__name__}.{field.name}" for field in fields(owner) if _KEY not in field.metadata)


def declares_all(value: object) -> bool:
    """Tell whether a value is a dataclass whose fields all declare what they change."""
    kind = type(value)
    return is_dataclass(kind) and not list(undeclared(kind))


def identity(value: object) -> Json:
    """Give, as a value for JSON, what tells a value from others.

    Numbers and texts stand for themselves, an array for its digest, a frozen dataclass for its name and the fields that
    change something, anything else for its attribute `identity`.

    Raises
    ------
    TypeError
        If the value has none of these, or a field declares nothing.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _FORMS:
        return _FORMS[kind](value)
    if hasattr(value, "identity"):
        return value.identity
    if is_dataclass(kind):
        return _of_dataclass(value, kind)
    raise TypeError(
        f"{kind.__name__} cannot be told from other values, so that finished work could be mixed up; make it a frozen "
        "dataclass whose fields declare what they change (tracin_dask.identity), or give it an attribute `identity`"
    )


def _of_dataclass(value: object, kind: type) -> str:
    """Name a value and its fields, as its constructor would take them."""
    assert is_dataclass(kind)  # noqa: S101 - `identity` asks this before it calls
    known = {field.name: declared(kind, field) for field in fields(kind)}
    counted = {name: found.by(getattr(value, name)) for name, found in known.items() if found.effect != "nothing"}
    settings = ", ".join(f"{name}={stated}" for name, stated in counted.items())
    name = getattr(value, "name", kind.__name__)
    return f"{name}({settings})" if settings else str(name)


def differences(known: Mapping[str, Json], wanted: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Name what tells two identities apart, and say how, with digests cut to what a person compares."""
    for name in sorted(known.keys() | wanted.keys()):
        if known.get(name) != wanted.get(name):
            yield name, f"{_brief(known.get(name))} then, {_brief(wanted.get(name))} now"


def _brief(value: object) -> str:
    return _DIGEST.sub(lambda found: f"{found[0][:_SHOWN_DIGITS]}…", str(value))


def digest_of(array: np.ndarray) -> str:
    """Give a digest of the numbers of an array."""
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()


_PLAIN = {NoneType, bool, int, float, str}
_FORMS: Mapping[type, Callable[[Any], Json]] = {
    tuple: lambda values: [identity(one) for one in values],
    list: lambda values: [identity(one) for one in values],
    frozenset: lambda values: sorted(identity(one) for one in values),
    np.ndarray: digest_of,
    type(Path()): lambda path: str(path.absolute()),
}
"""How values of the types that Python and NumPy come with are stated."""
