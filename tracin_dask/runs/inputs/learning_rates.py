"""The learning rate of each checkpoint: stated for all, one by one, by a schedule file, or by the checkpoints."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf, nan

from tracin_dask.errors import ConfigError
from tracin_dask.limits import short
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.places.place import AnyPath
from tracin_dask.triples.lines import read_blocks

DEFAULT_LEARNING_RATE = 0.001
_EXPECTED = "`epoch TAB learning rate` or `file name TAB learning rate`"
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Learning rates by epoch or by checkpoint file, as a text file lists them."""

    path: AnyPath
    rates: dict[str, float]
    """By what stands in front of the tab."""

    def learning_rates(self, checkpoints: Sequence[Checkpoint]) -> tuple[float, ...]:
        """Look up every checkpoint, by its path, its file's name, or the epoch that it states.

        Raises
        ------
        ConfigError
            If one is not listed.
        """
        return tuple(self._learning_rate(checkpoint) for checkpoint in checkpoints)

    def unused_names(self, checkpoints: Sequence[Checkpoint]) -> list[str]:
        """List the file names that none of the checkpoints has; epochs may be those of a whole training."""
        known = {key for checkpoint in checkpoints for key in _keys(checkpoint)}
        return [key for key in self.rates if not _is_epoch(key) and key not in known]

    def _learning_rate(self, checkpoint: Checkpoint) -> float:
        for key in _keys(checkpoint):
            if key in self.rates:
                return self.rates[key]
        if checkpoint.epoch is None:
            raise ConfigError(
                f"{self.path} has no line for {checkpoint.path.name}, and that file states no epoch; add the line "
                f"`{checkpoint.path.name} TAB learning rate`"
            )
        raise ConfigError(
            f"{self.path} has no line for epoch {checkpoint.epoch}, which {checkpoint.path} states (epochs count from "
            f"0), nor for that file; add the line `{checkpoint.epoch} TAB learning rate`"
        )


def read_schedule(path: AnyPath) -> Schedule:
    """Read lines of `epoch TAB learning rate` or `file name TAB learning rate`; empty lines are skipped.

    The file may be compressed.

    Raises
    ------
    ConfigError
        If a line is malformed or repeats an earlier one, or there is none; the line is named.
    TriplesError
        If the file cannot be read as text.
    """
    rates: dict[str, float] = {}
    found_at: dict[str, int] = {}
    lines = chain.from_iterable(block.data.removesuffix(b"\n").split(b"\n") for block in read_blocks(path))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, rate = _parsed(line, f"{path}, line {number}")
        if key in rates:
            raise ConfigError(f"{path}, line {number}: {key} stands in line {found_at[key]} already; keep one of them")
        rates[key], found_at[key] = rate, number
    if not rates:
        raise ConfigError(f"{path} has no lines; expected {_EXPECTED}")
    return Schedule(path=path, rates=rates)


def settle_learning_rates(stated: Sequence[float], checkpoints: Sequence[Checkpoint]) -> tuple[float, ...]:
    """Give one learning rate per checkpoint: those that are stated, or else the checkpoints' own, or the default.

    Raises
    ------
    ConfigError
        If there are several, but not as many as checkpoints.
    CheckpointError
        If a checkpoint states one that cannot be used, and none is given instead.
    """
    if not stated:
        return tuple(checkpoint.usable_learning_rate() or DEFAULT_LEARNING_RATE for checkpoint in checkpoints)
    if len(stated) == 1:
        return tuple(stated) * len(checkpoints)
    if len(stated) != len(checkpoints):
        raise ConfigError(
            f"there are {len(stated)} learning rates and {len(checkpoints)} checkpoint(s); give one for all, or one "
            f"for each in this order: {', '.join(str(checkpoint.path) for checkpoint in checkpoints)}"
        )
    return tuple(stated)


def _keys(checkpoint: Checkpoint) -> tuple[str, str, str]:
    """Give what a line for a checkpoint may begin with, the most particular first."""
    return str(checkpoint.path), checkpoint.path.name, str(checkpoint.epoch)


def _parsed(line: bytes, where: str) -> tuple[str, float]:
    text = line.decode(errors="backslashreplace").removesuffix("\r")
    key, _, number = (part.strip(" ") for part in text.partition("\t"))
    if "\t" not in text or not key or "\r" in text or text.encode() != line.removesuffix(b"\r"):
        raise ConfigError(f"{where}: expected {_EXPECTED} in UTF-8, found {short(text)}")
    rate = float(number) if _NUMBER.fullmatch(number) else nan
    if not 0 < rate < inf:
        raise ConfigError(f"{where}: the learning rate is {short(number)}; expected a number above 0")
    return (key.lstrip("0") or "0") if _is_epoch(key) else key, rate


def _is_epoch(key: str) -> bool:
    """Tell an epoch from the name of a file."""
    return key.isascii() and key.isdecimal()
