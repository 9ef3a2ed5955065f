"""The options that say which training triples are ranked."""

from typing import TYPE_CHECKING, TypedDict

import click

from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.values import FILE
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.influence.masks.touching import Touching

option = option_of("Ranking")


class MaskingFlags(TypedDict):
    """The values of these options, by name."""

    only_relations: tuple[str, ...]
    exclude_relations: tuple[str, ...]
    candidates: Place | None
    touching: "Touching | None"
    exclude_self: bool


MASKING_OPTIONS = (
    option(
        "--only-relations",
        many="relation, e.g. --only-relations treats",
        metavar="R...",
        help="Rank only training triples of these relations, ids, labels or names.",
    ),
    option(
        "--exclude-relations",
        many="relation, e.g. --exclude-relations treats",
        metavar="R...",
        help="Rank no training triples of these relations, ids, labels or names.",
    ),
    option(
        "--candidates",
        type=FILE,
        help="Rank only the training triples of this file: one per line, ids, labels or names, tabs or spaces.",
    ),
    option(
        "--touching",
        type=click.Choice(["head", "tail", "either", "both"]),
        help="Rank only training triples that have the head of the test triple as their own head or tail, its tail, "
        "either, or both.",
    ),
    option("--exclude-self", is_flag=True, help="Do not rank training triples that equal the test triple."),
)
