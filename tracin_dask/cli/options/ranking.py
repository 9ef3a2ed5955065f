"""The options that say how training triples are ranked and grouped."""

from typing import TYPE_CHECKING, TypedDict

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.values import FILE, GroupBy, Part
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.influence.normalised import Normalize
    from tracin_dask.influence.reductions.topk import RankBy
    from tracin_dask.runs.options.ranking import TopKPer

option = option_of("Ranking")


class RankingFlags(TypedDict):
    """The values of these options, by name."""

    top_k: int
    top_k_per: "TopKPer | None"
    rank_by: "RankBy"
    rank_of: Place | None
    normalize: "Normalize"
    group_by: tuple[Part | Place, ...]


RANKING_OPTIONS = (
    option(
        "--top-k", type=WholeNumber(), default=10, show_default=True, help="Training triples reported per test triple."
    ),
    option(
        "--top-k-per",
        type=click.Choice(["relation"]),
        help="Report --top-k training triples of each relation, so that no relation fills the list.",
    ),
    option(
        "--rank-by",
        type=click.Choice(["absolute", "proponents", "opponents"]),
        default="absolute",
        show_default=True,
        help="absolute: the largest |influence|. proponents: the largest positive ones only. opponents: the largest "
        "negative ones only.",
    ),
    option(
        "--rank-of",
        type=FILE,
        help="File of training triples, one per line: report the exact rank of each among all training triples, in the "
        "order of --rank-by, its influence, and its percentile: the share of the other training triples that rank "
        "behind it, 100 for the first.",
    ),
    option(
        "--normalize",
        type=click.Choice(["none", "cosine", "relatif"]),
        default="none",
        show_default=True,
        help="Divide influences by the lengths of gradients before ranking, so that training triples with long "
        "gradients do not lead every list. cosine: by both lengths. relatif: by that of the training triple.",
    ),
    option(
        "--group-by",
        type=GroupBy(),
        multiple=True,
        metavar="relation|head|tail|FILE",
        help="Add up the positive and the negative influences of each relation, head or tail, or of your own groups: "
        "a file with lines of `head TAB relation TAB tail TAB group`, .gz or not. May be repeated.",
    ),
)
