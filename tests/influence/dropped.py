"""Terms left out of their tables, and steps that do nothing: a check that judges influences must notice either."""

import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType

import pytest
import torch

import tracin_dask.influence
from tracin_dask.influence.preconditioners.diagonal import DiagonalPreconditioner
from tracin_dask.influence.terms import RowTerm, Term

LISTED: set[tuple[str, str, str]] = set()
"""The module, table and name of every entry that any test leaves out."""


def entries(module: ModuleType, table: str, *, only: Iterable[str] = (), but: Iterable[str] = ()) -> list:
    """Give the entries of a table as parameters of a test: the module, the name of the table, the entry."""
    chosen = [e for e in getattr(module, table) if e.name not in but and (not only or e.name in only)]
    LISTED.update((module.__name__, table, entry.name) for entry in chosen)
    return [
        pytest.param(module, table, entry, id=f"{table.lower()}: {entry.name}".replace(" ", "-")) for entry in chosen
    ]


def every_entry() -> set[tuple[str, str, str]]:
    """Find the entries of all tables of both engines; a table that several modules import counts once."""
    found, seen = set(), set()
    for info in pkgutil.walk_packages(tracin_dask.influence.__path__, "tracin_dask.influence."):
        for name, table in vars(import_module(info.name)).items():
            if isinstance(table, tuple) and table and isinstance(table[0], Term | RowTerm) and id(table) not in seen:
                seen.add(id(table))
                found |= {(info.name, name, entry.name) for entry in table}
    return found


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
    diagonal, uses = DiagonalPreconditioner.diagonal, []

    def one_left_out(self: DiagonalPreconditioner, name: str) -> torch.Tensor:
        uses.append(name)
        return torch.ones_like(diagonal(self, name)) if len(uses) == number + 1 else diagonal(self, name)

    monkeypatch.setattr(DiagonalPreconditioner, "diagonal", one_left_out)
    return uses
