"""The options that name known explanations."""

from typing import TypedDict

import click

from tracin_dask.cli.options.values import FILE
from tracin_dask.places.place import Place


class TruthFlags(TypedDict):
    """The values of these options, by name."""

    edges: Place | None
    paths: Place | None
    truth: Place | None


TRUTH_OPTIONS = (
    click.option("--edges", type=FILE, help="Known edges: JSON lines with subject, predicate and object."),
    click.option(
        "--paths", type=FILE, help="Known paths: a table with Drug, Disease, a list of intermediates [A, B], and an id."
    ),
    click.option(
        "--truth",
        type=FILE,
        help="Your own truth: six columns, a test triple and a training triple that explains it; or three, a training "
        "triple that is true for all test triples. Labels or ids, between tabs or commas.",
    ),
)
