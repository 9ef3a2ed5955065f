"""Which training triples are ranked; all others are scored, but neither reported nor counted."""

from dataclasses import dataclass, field
from typing import get_args

from tracin_dask.errors import ConfigError
from tracin_dask.identity import changes
from tracin_dask.influence.masks.base import Mask
from tracin_dask.influence.masks.touching import Touching
from tracin_dask.runs.options.refusals import refuse_single, refuse_unknown, require_count
from tracin_dask.triples.training_triples import ListedTriples

WALKS = ("within_hops", "on_paths", "all_walks", "directed_hops", "min_degree", "max_degree")
"""The options that follow the graph from the test triple."""
BUILT_IN = ("only_relations", "exclude_relations", "candidates", "touching", "exclude_self", *WALKS)
PATH_LENGTHS = range(2, 5)


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
    within_hops
        Training triples at the end of a walk of at most so many training triples from the head or the tail of the test
        triple: 1 for those that touch one of them.
    on_paths
        Training triples on a simple path of at most so many training triples, 2 to 4, from its head to its tail.
    all_walks
        With `on_paths`: also those on a walk that enters an entity twice.
    directed_hops
        Walks and paths follow training triples from head to tail only.
    min_degree
        Walks and paths go through no entity with fewer training triples; head and tail are always allowed.
    max_degree
        They go through no entity with more.
    masks
        Masks of your own (`tracin_dask.influence.masks.base.Mask`).
    """

    only_relations: tuple[int | str, ...] = field(default=(), metadata=changes("records", through="num_ranked"))
    exclude_relations: tuple[int | str, ...] = field(default=(), metadata=changes("records", through="num_ranked"))
    candidates: ListedTriples | None = field(default=None, metadata=changes("records", through="num_ranked"))
    touching: Touching | None = field(default=None, metadata=changes("records", through="num_ranked"))
    exclude_self: bool = field(default=False, metadata=changes("records", through="num_ranked"))
    within_hops: int | None = field(default=None, metadata=changes("records", through="num_ranked"))
    on_paths: int | None = field(default=None, metadata=changes("records", through="num_ranked"))
    all_walks: bool = field(default=False, metadata=changes("records", through="num_ranked"))
    directed_hops: bool = field(default=False, metadata=changes("records", through="num_ranked"))
    min_degree: int | None = field(default=None, metadata=changes("records", through="num_ranked"))
    max_degree: int | None = field(default=None, metadata=changes("records", through="num_ranked"))
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
        self._refuse_walks()
        names = [mask.name for mask in self.masks]
        for name in names:
            if names.count(name) > 1 or name in BUILT_IN:
                raise ConfigError(f"masks has the name {name!r} twice, or it is that of an option; rename a mask")

    @property
    def walks(self) -> bool:
        """Whether the graph is followed from the test triples."""
        return self.within_hops is not None or self.on_paths is not None

    @property
    def compares(self) -> tuple[str, ...]:
        """Name the options that compare training triples with test triples."""
        names = ("touching", "exclude_self", "within_hops", "on_paths")
        return tuple(name for name in names if getattr(self, name) not in (None, False))

    def _refuse_walks(self) -> None:
        """Refuse lengths and degrees that make no sense, and rules for walks where there are none."""
        for name in ("within_hops", "min_degree", "max_degree"):
            value = getattr(self, name)
            if value is not None:
                require_count(name, value)
        if self.on_paths is not None and self.on_paths not in PATH_LENGTHS:
            raise ConfigError(f"on_paths must be 2, 3 or 4, the longest path in training triples, not {self.on_paths}")
        given = [name for name in WALKS[2:] if getattr(self, name) not in (None, False)]
        if given and not self.walks:
            raise ConfigError(f"{' and '.join(given)} counts only with within_hops or on_paths; give one of these, too")
        if self.all_walks and self.on_paths is None:
            raise ConfigError("all_walks counts only with on_paths; give it, too")
        if self.min_degree is not None and self.max_degree is not None and self.min_degree > self.max_degree:
            raise ConfigError(
                f"min_degree must be at most the largest degree, {self.max_degree}, not {self.min_degree}: no entity "
                "would be left to go through"
            )
