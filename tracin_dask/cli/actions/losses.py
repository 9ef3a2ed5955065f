"""From options to the loss and the question of a run, and refuses options that contradict each other."""

from collections.abc import Callable, Mapping, Sequence

from tracin_dask.cli.options.job import JobFlags
from tracin_dask.cli.say import say
from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses import SLCWA, AnyLoss, BinaryCrossEntropy, OneToAll
from tracin_dask.influence.parameters import without_cancelled
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.runs.prepare import PreparedRun

_OF_ONE_LOSS = {"label_smoothing": "one-to-all", "num_negatives": "slcwa", "negatives_seed": "slcwa"}


def refuse_other_losses(options: JobFlags) -> None:
    """Refuse settings of a loss that is not chosen, and questions that self-influence has no test triples for.

    Raises
    ------
    ConfigError
        Naming both options.
    """
    for name, loss in _OF_ONE_LOSS.items():
        if options.get(name) is not None and options["loss"] != loss:
            raise ConfigError(f"--{name.replace('_', '-')} belongs to --loss {loss}; give both, or leave it out")
    if options["mode"] == "self" and (options["contrast"] or options["explain"] != "loss"):
        raise ConfigError("--contrast and --explain ask about test triples, and --mode self has none; leave them out")
    if options["mode"] == "self" and options["normalize"] != "none":
        raise ConfigError(
            "--normalize is for influences on test triples: with --mode self a triple meets itself only, and its "
            "cosine with itself is 1; leave --normalize out"
        )


def loss_of(options: JobFlags, checkpoints: Sequence[Checkpoint] = ()) -> AnyLoss:
    """Make the chosen loss; the checkpoints may state settings that the options leave open."""
    return _LOSSES[options["loss"]](options, checkpoints)


def _one_to_all(options: JobFlags, checkpoints: Sequence[Checkpoint]) -> AnyLoss:
    return OneToAll(label_smoothing=_label_smoothing(options["label_smoothing"], checkpoints))


def _slcwa(options: JobFlags, _: Sequence[Checkpoint]) -> AnyLoss:
    number = 1 if options["num_negatives"] is None else options["num_negatives"]
    return SLCWA(num_negatives=number, seed=options["negatives_seed"] or 0)


_LOSSES: Mapping[str, Callable[[JobFlags, Sequence[Checkpoint]], AnyLoss]] = {
    "bce": lambda _options, _checkpoints: BinaryCrossEntropy(),
    "one-to-all": _one_to_all,
    "slcwa": _slcwa,
}
"""Every choice of --loss."""


def _label_smoothing(given: float | None, checkpoints: Sequence[Checkpoint]) -> float:
    """Take the given value, or that of the first checkpoint and say so, or 0."""
    if given is not None:
        return given
    stated = checkpoints[0].label_smoothing if checkpoints else None
    if stated is not None:
        say(f"label smoothing {stated:g}, as {checkpoints[0].path} states", err=True)
    return stated or 0.0


def say_cancelled(prepared: PreparedRun) -> None:
    """Say that a preconditioner has only rounding errors for some of the tensors; unless named they are left out."""
    method, cancelled = prepared.config.scoring.method, prepared.model_config.cancelled_parameters
    if method is None or not method.skips_cancelled or not cancelled:
        return
    tracked, because = prepared.tracked & cancelled, "batch norm cancels their gradients in training"
    if tracked:
        say(
            f"{', '.join(sorted(tracked))}: {because}, so that {method.name} is made of rounding errors there, and "
            "they outweigh all others; without --parameters they are left out",
            err=True,
        )
    elif prepared.tracked == without_cancelled(prepared.model_config):
        say(f"{', '.join(sorted(cancelled))} are left out (--parameters '*' takes them): {because}", err=True)
