"""The options that say which training triples are ranked."""

from typing import TYPE_CHECKING, TypedDict

import click

from tracin_dask.cli.options.numbers import WholeNumber
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
    within_hops: int | None
    on_paths: int | None
    all_walks: bool
    directed_hops: bool
    min_degree: int | None
    max_degree: int | None


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
    option(
        "--within-hops",
        type=WholeNumber(),
        metavar="N",
        help="Rank only training triples within N hops of the test triple's head or tail: 1 for those that touch one "
        "of them, 2 for those that touch a neighbour, too.",
    ),
    option(
        "--on-paths",
        type=WholeNumber(2, 4),
        metavar="MAX_LENGTH",
        help="Rank only training triples on a path of at most 2, 3 or 4 training triples from the test triple's head "
        "to its tail that enters no entity twice.",
    ),
    option(
        "--all-walks",
        is_flag=True,
        help="With --on-paths: rank training triples on walks that enter an entity twice, too.",
    ),
    option(
        "--directed-hops",
        is_flag=True,
        help="With --within-hops or --on-paths: follow training triples from head to tail only.",
    ),
    option(
        "--min-degree",
        type=WholeNumber(),
        metavar="D",
        help="With --within-hops or --on-paths: go through no entity with fewer than D training triples.",
    ),
    option(
        "--max-degree",
        type=WholeNumber(),
        metavar="D",
        help="With --within-hops or --on-paths: go through no entity with more than D training triples, such as hubs.",
    ),
)
