"""Which training triples are ranked; all others are scored, but neither reported nor counted."""

from dataclasses import dataclass, field
from typing import get_args

from tracin_dask.errors import ConfigError
from tracin_dask.identity import changes
from tracin_dask.influence.masks.base import Mask
from tracin_dask.influence.masks.touching import Touching
from tracin_dask.runs.options.refusals import refuse_single, refuse_unknown
from tracin_dask.triples.training_triples import ListedTriples

BUILT_IN = ("only_relations", "exclude_relations", "candidates", "touching", "exclude_self")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingOptions:
    """Which training triples are ranked: those that no option leaves out.

    Totals of groups and saved scores are still of all training triples.

    Attributes
    ----------
    only_relations
        Relations, ids or labels: only training triples of these are ranked.
    exclude_relations
        Relations, ids or labels: training triples of these are not ranked.
    candidates
        Training triples, ids or labels, or what `read_training_triples` gives: only these are ranked.
    touching
        `head`: training triples that have the head of the test triple, as their head or tail. `tail`: its tail.
        `either`: one of the two. `both`: both.
    exclude_self
        Leave out training triples that equal the test triple.
    masks
        Masks of your own (`tracin_dask.influence.masks.base.Mask`).
    """

    only_relations: tuple[int | str, ...] = field(default=(), metadata=changes("records", through="num_ranked"))
    exclude_relations: tuple[int | str, ...] = field(default=(), metadata=changes("records", through="num_ranked"))
    candidates: ListedTriples | None = field(default=None, metadata=changes("records", through="num_ranked"))
    touching: Touching | None = field(default=None, metadata=changes("records", through="num_ranked"))
    exclude_self: bool = field(default=False, metadata=changes("records", through="num_ranked"))
    masks: tuple[Mask, ...] = field(default=(), metadata=changes("records", through="num_ranked"))

    def __post_init__(self) -> None:
        """Refuse values that no run can have.

        Raises
        ------
        ConfigError
            Naming the option, its value and what is allowed.
        """
        refuse_single(only_relations=self.only_relations, exclude_relations=self.exclude_relations)
        if self.only_relations and self.exclude_relations:
            raise ConfigError(
                "only_relations and exclude_relations both choose the relations that are ranked; give only one of them"
            )
        if self.touching is not None:
            refuse_unknown("touching", self.touching, get_args(Touching))
        names = [mask.name for mask in self.masks]
        for name in names:
            if names.count(name) > 1 or name in BUILT_IN:
                raise ConfigError(f"masks has the name {name!r} twice, or it is that of an option; rename a mask")
