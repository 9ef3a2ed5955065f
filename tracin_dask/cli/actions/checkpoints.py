"""The order of several checkpoints and their learning rates."""

from collections.abc import Sequence

from tracin_dask.cli.say import say
from tracin_dask.errors import ConfigError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.places.place import Place
from tracin_dask.runs.inputs.learning_rates import Schedule
from tracin_dask.runs.prepare import PreparedRun


def refuse_another_order(listed: Sequence[Place], checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse one learning rate per checkpoint if the checkpoints are listed in another order than that of the run.

    Raises
    ------
    ConfigError
        With the order of the run.
    """
    taken = [checkpoint.path for checkpoint in checkpoints]
    if list(listed) != taken:
        raise ConfigError(
            "--learning-rate gives one number per checkpoint, but checkpoints are used in the order of their epochs or "
            f"names: {', '.join(map(str, taken))}; list checkpoints and numbers in this order"
        )


def learning_rates_of(schedule: Schedule, checkpoints: Sequence[Checkpoint]) -> tuple[float, ...]:
    """Look up the learning rates of the checkpoints, and print which file names in the schedule match no checkpoint."""
    unused = schedule.unused_names(checkpoints)
    if unused:
        say(f"{schedule.path}: no checkpoint of this run is called {', '.join(unused)}", err=True)
    return schedule.learning_rates(checkpoints)


def say_notes(checkpoints: Sequence[Checkpoint]) -> None:
    """Print what was chosen or changed when the files were read, once for all files of which it is true."""
    files: dict[str, list[Place]] = {}
    for checkpoint in checkpoints:
        for note in checkpoint.notes:
            files.setdefault(note, []).append(checkpoint.path)
    for note, paths in files.items():
        more = f" and {len(paths) - 1:,} more" if len(paths) > 1 else ""
        say(f"{paths[0]}{more}: {note}", err=True)


def say_order(prepared: PreparedRun, *, is_stated: bool) -> None:
    """Print the order in which checkpoints are summed, their learning rates, and which of these are the default."""
    first, *others = prepared.checkpoints
    if not others:
        if first.learning_rate is None and not is_stated:
            rate = prepared.learning_rates[0]
            say(f"learning rate {rate:g}: the default, since {first.path} states none (--learning-rate)", err=True)
        return
    if prepared.num_trainings > 1:
        say(
            f"influences are averaged over {prepared.num_trainings} trainings, of {len(prepared.checkpoints)} "
            "checkpoints in all, in this order:",
            err=True,
        )
    else:
        say(f"influences are summed over {len(prepared.checkpoints)} checkpoints, in this order:", err=True)
    for checkpoint, learning_rate in zip(prepared.checkpoints, prepared.learning_rates, strict=True):
        is_default = checkpoint.learning_rate is None and not is_stated
        epoch = "no epoch stated" if checkpoint.epoch is None else f"epoch {checkpoint.epoch}"
        default = " (the default, since the file states none)" if is_default else ""
        say(f"  {checkpoint.path}: {epoch}, learning rate {learning_rate:g}{default}", err=True)
