"""The learning rate of each checkpoint: stated for all, one by one, by a schedule file, or by the checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracin_dask.errors import ConfigError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.places.files import read_bytes
from tracin_dask.places.place import AnyPath

DEFAULT_LEARNING_RATE = 0.001


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
        return [key for key in self.rates if not key.isdecimal() and key not in known]

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

    Raises
    ------
    ConfigError
        If a line is malformed or repeats an earlier one, or there is none; the line is named.
    """
    try:
        lines = read_bytes(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as text: {error}") from error
    rates: dict[str, float] = {}
    found_at: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, rate = _parsed(line, f"{path}, line {number}")
        if key in rates:
            raise ConfigError(f"{path}, line {number}: {key} stands in line {found_at[key]} already; keep one of them")
        rates[key], found_at[key] = rate, number
    if not rates:
        raise ConfigError(f"{path} has no lines; expected `epoch TAB learning rate` or `file name TAB learning rate`")
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


def _parsed(line: str, where: str) -> tuple[str, float]:
    key, tab, text = line.partition("\t")
    if not tab or not key.strip():
        raise ConfigError(
            f"{where}: expected `epoch TAB learning rate` or `file name TAB learning rate`, found {line!r}"
        )
    try:
        rate = float(text)
    except ValueError:
        rate = float("nan")
    if not 0 < rate < float("inf"):
        raise ConfigError(f"{where}: the learning rate is {text.strip()!r}; expected a number above 0")
    key = key.strip()
    return str(int(key)) if key.isdecimal() else key, rate
