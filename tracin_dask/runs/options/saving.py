"""What is kept of the influences besides the rankings: totals of groups, all influences, shares of checkpoints."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tracin_dask.errors import ConfigError
from tracin_dask.identity import Json, changes
from tracin_dask.influence.reductions import exact_ranks, group_totals, num_ranked, topk
from tracin_dask.influence.reductions.base import ReportedReduction
from tracin_dask.places.place import AnyPath
from tracin_dask.places.registry import place_of
from tracin_dask.runs.inputs.groupings import PARTS, Part, identity_and_name
from tracin_dask.runs.options.refusals import refuse_unknown
from tracin_dask.triples.groups import GroupStore

Ranks = Literal["auto", "all", "none"]


def _identities(reductions: tuple[ReportedReduction[Any], ...]) -> dict[str, Json]:
    """Give what tells reductions from others, by their names."""
    return {reduction.name: reduction.identity for reduction in reductions}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavingOptions:
    """What is kept besides the rankings.

    Attributes
    ----------
    group_by
        `relation`, `head`, `tail`, or groups of a file (`ingest_groups`): sum the positive and the negative influences
        of every group, over all training triples.
    save_scores
        Where all influences are written, too, not only the best: a Zarr array [test, train]. Workers must see the path.
    ranks
        Which ranks of the test triples' tails and heads among all entities are stated: `all`, `none`, or `auto`, those
        that take no more than a minute of one CPU thread.
    checkpoint_contributions
        State what each checkpoint adds to every influence that is reported.
    also_self_influence
        State the self-influence of the test triples and of every training triple that is reported of them: what mode
        'self' gives of each. It is of the loss, undivided, also where scores are explained or influences are divided.
    reductions
        Whatever else is to be kept of the influences: reductions of your own
        (`tracin_dask.influence.reductions.base.ReportedReduction`). `InfluenceResult.kept` has what they report.
    """

    group_by: tuple[Part | GroupStore, ...] = field(default=(), metadata=changes("records", through="group_by"))
    save_scores: AnyPath | None = field(default=None, metadata=changes("records", through="save_scores"))
    ranks: Ranks = field(default="auto", metadata=changes("result"))
    checkpoint_contributions: bool = field(default=False, metadata=changes("result"))
    also_self_influence: bool = field(default=False, metadata=changes("result"))
    reductions: tuple[ReportedReduction[Any], ...] = field(default=(), metadata=changes("records", by=_identities))

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises
        ------
        ConfigError
            Naming the option, its value and what is allowed.
        """
        _refuse_groupings(self.group_by)
        if self.save_scores is not None:
            place_of(self.save_scores)
        refuse_unknown("ranks", self.ranks, get_args(Ranks))
        _refuse_names([reduction.name for reduction in self.reductions])


def _refuse_names(names: list[str]) -> None:
    """Refuse names of reductions that records could not tell apart."""
    built_in = (topk.NAME, group_totals.NAME, exact_ranks.NAME, num_ranked.NAME, "save_scores")
    for name in names:
        if not name.isidentifier() or name in built_in or names.count(name) > 1:
            raise ConfigError(
                f"reductions has the name {name!r}; expected a name of letters, digits and underscores that no other "
                f"reduction has (those of tracin-dask are {', '.join(built_in)})"
            )


def _refuse_groupings(group_by: tuple[Part | GroupStore, ...]) -> None:
    if type(group_by) is not tuple:
        raise ConfigError(f"group_by is a tuple, of one grouping, too: ({group_by!r},)")
    for by in group_by:
        if by not in PARTS and not hasattr(by, "read"):
            raise ConfigError(f"group_by takes head, relation, tail and what ingest_groups gives, not {by!r}")
    told_apart = [identity_and_name(by) for by in group_by]
    identities, names = [identity for identity, _ in told_apart], [name for _, name in told_apart]
    if len(set(identities)) < len(identities):
        raise ConfigError("group_by names the same groups twice; name them once")
    if len(set(names)) < len(names):
        raise ConfigError(
            f"group_by has groupings of one name ({', '.join(names)}), by which results tell them apart; rename a file"
        )
