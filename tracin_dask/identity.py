"""What a value changes in the results of a run: declared by each field, so that runs can be told apart."""

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, Literal

Effect = Literal["scores", "records", "nothing"]
"""The bits of influences; or only what is recorded of them; or neither."""
_KEY = "changes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What the value of a field changes."""

    effect: Effect
    through: str | None
    """What a run states instead, where other values can have the same effect: the tensors that patterns match."""


def changes(effect: Effect, *, through: str | None = None) -> Mapping[str, Changes]:
    """Declare, as the metadata of a dataclass's field, what its value changes.

    `through` names what a run states in place of the value, where the value matters through that alone.
    """
    return {_KEY: Changes(effect=effect, through=through)}


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
            f"{owner.__name__}.{field.name} does not declare what its value changes; add "
            'field(metadata=changes("scores")), or "records" or "nothing"'
        )
    return found


def undeclared(owner: Any) -> Iterator[str]:  # noqa: ANN401 - a dataclass has no type of its own
    """Name the fields of a dataclass that do not declare what they change."""
    return (f"{owner.__name__}.{field.name}" for field in fields(owner) if _KEY not in field.metadata)
