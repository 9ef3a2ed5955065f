"""The options of `run` and `plan` that say which loss is differentiated, and what is asked of test triples."""

from collections.abc import Sequence
from typing import Literal, TypedDict

import click

from tracin_dask.errors import ConfigError
from tracin_dask.influence.columns import Explain
from tracin_dask.influence.losses import SLCWA, AnyLoss, BinaryCrossEntropy, OneToAll
from tracin_dask.influence.normalised import Normalize
from tracin_dask.influence.parameters import without_cancelled
from tracin_dask.influence.preconditioners.diagonal import Preconditioning
from tracin_dask.models.checkpoints.checkpoint import AnyCheckpoint
from tracin_dask.runs.prepare import PreparedRun


class LossOptions(TypedDict):
    """These options, by name, and those that they depend on."""

    mode: Literal["test", "self"]
    labels: bool
    loss: Literal["bce", "one-to-all", "slcwa"]
    label_smoothing: float | None
    num_negatives: int | None
    negatives_seed: int | None
    explain: Explain
    contrast: tuple[str, ...]
    normalize: Normalize
    preconditioner: Preconditioning


LOSS_OPTIONS = (
    click.option(
        "--loss",
        type=click.Choice(["bce", "one-to-all", "slcwa"]),
        default="bce",
        show_default=True,
        help="bce: of the triple's own score. one-to-all: of all entities' scores as its tail, as ConvE is trained. "
        "slcwa: of the scores of the triple and of corrupted ones, as with negative sampling.",
    ),
    click.option(
        "--label-smoothing", type=float, help="Of --loss one-to-all, as in training. [default: the checkpoint's, or 0]"
    ),
    click.option("--num-negatives", type=int, help="Corrupted triples per triple, of --loss slcwa. [default: 1]"),
    click.option("--negatives-seed", type=int, help="Draws other corrupted triples, of --loss slcwa. [default: 0]"),
    click.option(
        "--explain",
        type=click.Choice(["loss", "score"]),
        default="loss",
        show_default=True,
        help="What influences are on: the test triple's loss, or its score.",
    ),
    click.option(
        "--contrast",
        multiple=True,
        metavar="TAIL",
        help="Why the test triple's tail and not this one? Repeat it for several test triples, or give one for all.",
    ),
    click.option(
        "--normalize",
        type=click.Choice(["none", "cosine", "relatif"]),
        default="none",
        show_default=True,
        help="Rank influences divided by the lengths of gradients, so that triples that push everything do not lead "
        "every list. cosine: of both gradients. relatif: of the training triple's only.",
    ),
    click.option(
        "--preconditioner",
        type=click.Choice(["none", "adam"]),
        default="none",
        show_default=True,
        help="The step that influences are about. none: of plain gradient descent. adam: of the Adam that trained the "
        "model, from the optimizer_state_dict of its checkpoints.",
    ),
)
_OF_ONE_LOSS = {"label_smoothing": "one-to-all", "num_negatives": "slcwa", "negatives_seed": "slcwa"}


def refuse_other_losses(options: LossOptions) -> None:
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


def loss_of(options: LossOptions, checkpoints: Sequence[AnyCheckpoint] = ()) -> AnyLoss:
    """Make the loss that is chosen; what the options leave open, the checkpoints may state."""
    if options["loss"] == "bce":
        return BinaryCrossEntropy()
    if options["loss"] == "one-to-all":
        return OneToAll(label_smoothing=_label_smoothing(options["label_smoothing"], checkpoints))
    number = 1 if options["num_negatives"] is None else options["num_negatives"]
    return SLCWA(num_negatives=number, seed=options["negatives_seed"] or 0)


def _label_smoothing(given: float | None, checkpoints: Sequence[AnyCheckpoint]) -> float:
    """Take what is given, or what the first checkpoint states, and say so; else there is none."""
    if given is not None:
        return given
    stated = checkpoints[0].label_smoothing if checkpoints else None
    if stated is not None:
        click.echo(f"label smoothing {stated:g}, as {checkpoints[0].path} states", err=True)
    return stated or 0.0


def contrast_of(options: LossOptions) -> tuple[int | str, ...]:
    """Give the other tails; integers are ids, unless bare integers are labels."""
    given = options["contrast"]
    if options["labels"] or not all(tail.isdecimal() for tail in given):
        return given
    return tuple(int(tail) for tail in given)


def say_cancelled(prepared: PreparedRun) -> None:
    """Say that a preconditioner has only rounding errors for some of the tensors; unless named they are left out."""
    cancelled = prepared.model_config.cancelled_parameters
    if prepared.config.preconditioner == "none" or not cancelled:
        return
    tracked, because = prepared.tracked & cancelled, "batch norm cancels their gradients in training"
    if tracked:
        click.echo(
            f"{', '.join(sorted(tracked))}: {because}, so that Adam divides by rounding errors there, and they "
            "outweigh all others; without --parameters they are left out",
            err=True,
        )
    elif prepared.tracked == without_cancelled(prepared.model_config):
        click.echo(f"{', '.join(sorted(cancelled))} are left out (--parameters '*' takes them): {because}", err=True)
