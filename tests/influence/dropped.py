"""Terms left out of their tables, and steps that do nothing: a check that judges influences must notice either."""

from collections.abc import Callable, Iterable
from types import ModuleType

import pytest
import torch

from tracin_dask.influence.preconditioners.diagonal import DiagonalPreconditioner


def entries(module: ModuleType, table: str, *, but: Iterable[str] = ()) -> list:
    """Give every entry of a table, but some, as parameters of a test: the module, the name of the table, the entry."""
    return [
        pytest.param(module, table, entry, id=f"{table.lower()}: {entry.name}".replace(" ", "-"))
        for entry in getattr(module, table)
        if entry.name not in but
    ]


def drop(monkeypatch: pytest.MonkeyPatch, module: ModuleType, table: str, name: str) -> None:
    """Leave an entry out of a table."""
    whole = getattr(module, table)
    rest = tuple(entry for entry in whole if entry.name != name)
    assert len(rest) == len(whole) - 1, f"{table} has no entry, or several, of the name {name!r}"
    monkeypatch.setattr(module, table, rest)


def skip(monkeypatch: pytest.MonkeyPatch, module: ModuleType, function: str) -> None:
    """Let a function that changes its first argument give this back as it is."""
    assert callable(getattr(module, function))
    monkeypatch.setattr(module, function, lambda values, *_: values)


def noticed_uses(agrees: Callable[[], bool]) -> tuple[int, int]:
    """Let P be 1 in one of its uses after the other; count the uses that a check notices, and all of them."""
    noticed, number, uses = 0, -1, []
    while number < len(uses):  # at first none is left out
        with pytest.MonkeyPatch.context() as monkeypatch:
            uses = _leave_out(monkeypatch, number)
            noticed += not agrees()
            assert number >= 0 or not noticed
        number += 1
    return noticed, len(uses)


def _leave_out(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    scale, uses = DiagonalPreconditioner.scale, []

    def one_left_out(self: DiagonalPreconditioner, name: str) -> torch.Tensor:
        uses.append(name)
        return torch.ones_like(scale(self, name)) if len(uses) == number + 1 else scale(self, name)

    monkeypatch.setattr(DiagonalPreconditioner, "scale", one_left_out)
    return uses
