"""The options that say what is explained: test triples, the loss, and what is asked of it."""

from typing import TYPE_CHECKING, Literal, TypedDict

import click

from tracin_dask.cli.options.numbers import RealNumber, WholeNumber
from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.values import FILE
from tracin_dask.places.place import Place
from tracin_dask.runs.presets import PLAIN, PRESETS
from tracin_dask.seed import MOST_SEED

if TYPE_CHECKING:
    from tracin_dask.influence.columns import Explain
    from tracin_dask.runs.options.scoring import Curvature

option = option_of("Question")


class QuestionFlags(TypedDict):
    """The values of these options, by name."""

    test_triple: tuple[tuple[str, str, str], ...]
    test: Place | None
    together: bool
    mode: Literal["test", "self"]
    loss: Literal["bce", "one-to-all", "slcwa"]
    label_smoothing: float | None
    num_negatives: int | None
    negatives_seed: int | None
    contrast: tuple[str, ...]
    explain: "Explain"
    preset: str
    preconditioner: Literal["none", "adam"]
    curvature: "Curvature"
    damping: float | None
    landmarks: int | None
    landmarks_near: bool
    landmarks_seed: int


QUESTION_OPTIONS = (
    option(
        "--test-triple",
        nargs=3,
        multiple=True,
        metavar="H R T",
        help="A test triple, as ids, labels or readable names that only one has. May be repeated.",
    ),
    option("--test", type=FILE, help="File of test triples, one per line; ids, labels or names, tabs or spaces."),
    option(
        "--together",
        is_flag=True,
        help="Explain the mean over all test triples of --test in one answer. Where its lines have a fourth column, "
        "`head TAB relation TAB tail TAB set`: the mean over each set.",
    ),
    option(
        "--mode",
        type=click.Choice(["test", "self"]),
        default="test",
        show_default=True,
        help="test: explain test triples. self: find the training triples with the largest self-influence.",
    ),
    option(
        "--contrast",
        multiple=True,
        metavar="TAIL",
        help="Why the tail of the test triple and not this one? An id, a label or a name: one for all test triples, or "
        "one for each.",
    ),
    option(
        "--loss",
        type=click.Choice(["bce", "one-to-all", "slcwa"]),
        default="bce",
        show_default=True,
        help="bce: of the triple's own score. one-to-all: of the scores of all entities as its tail, as ConvE is "
        "trained. slcwa: of the scores of the triple and of corrupted ones, as in negative sampling.",
    ),
    option(
        "--label-smoothing",
        type=RealNumber(below=1.0),
        help="For --loss one-to-all: as in training. [default: the value in the checkpoint, or 0]",
    ),
    option("--num-negatives", type=WholeNumber(), help="For --loss slcwa: corrupted triples per triple. [default: 1]"),
    option(
        "--negatives-seed",
        type=WholeNumber(0, MOST_SEED),
        help="For --loss slcwa: draws other corrupted triples. [default: 0]",
    ),
    option(
        "--explain",
        type=click.Choice(["loss", "score"]),
        default="loss",
        show_default=True,
        help="Influences on the loss of the test triple, or on its score.",
    ),
    option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default=PLAIN,
        show_default=True,
        help="A named set of options. Options that you also give override it. "
        + " ".join(f"{name}: {preset.purpose} ({preset.worth})." for name, preset in PRESETS.items()),
    ),
    option(
        "--preconditioner",
        type=click.Choice(["none", "adam"]),
        default="none",
        show_default=True,
        help="none: steps of plain gradient descent. adam: steps of the Adam that trained the model, from the "
        "optimizer_state_dict of its checkpoints.",
    ),
    option(
        "--curvature",
        type=click.Choice(["none", "rows", "landmarks"]),
        default="none",
        show_default=True,
        help="rows: divide by the curvature of the loss, the damped Fisher matrix of each embedding row. It predicts "
        "retraining much better, and scores only training triples that touch the test triples. Tracks the entities' "
        "tables unless --parameters says otherwise. landmarks: the same for all tracked tensors together, through the "
        "gradients of some training triples.",
    ),
    option(
        "--damping",
        type=RealNumber(above=0.0),
        help="For --curvature: larger trusts the curvature less. [default: 3]",
    ),
    option(
        "--landmarks",
        type=WholeNumber(),
        help="For --curvature landmarks: how many training triples; each costs as much as a test triple. "
        "[default: 1000]",
    ),
    option(
        "--landmarks-near",
        is_flag=True,
        help="For --curvature landmarks: first those that touch the test triples, then random ones.",
    ),
    option(
        "--landmarks-seed",
        type=WholeNumber(0, MOST_SEED),
        default=0,
        show_default=True,
        help="For --curvature landmarks: draws other training triples.",
    ),
)
