"""The result of a run: a value that needs neither the store nor the model, and that files give back whole."""

import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.identity import Json
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.report.equal import EqualByParts
from tracin_dask.report.groups import GroupInfluences, group_tables
from tracin_dask.report.labels import Labels
from tracin_dask.report.predictions import Predictions
from tracin_dask.report.ranks import ListedRanks
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.report.sets import TestSets

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from tracin_dask.report.plot import Plot

SCHEMA_VERSION = 4
"""2: `learning_rate` is a list where there are several checkpoints. 3: `further_influences`, `ranks`,
`num_ranked_rows`, `kept`; all groups have a file. 4: `prediction`."""
SHOWN_ENTRIES = 10
"""Proponents and opponents that a result has at least, where so many exist: so that both sides can be shown."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankedTriples(EqualByParts):
    """Training triples with their influences, the best first."""

    triples: Int[ndarray, "entry 3"]
    influence: Float[ndarray, " entry"]
    train_index: Int[ndarray, " entry"]
    """Their lines in the training file, counted from 0."""

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.influence)

    def take(self, chosen: ndarray | slice) -> "RankedTriples":
        """Keep the chosen entries (a mask, a slice, or indices in the wanted order)."""
        return RankedTriples(**{part.name: getattr(self, part.name)[chosen] for part in fields(RankedTriples)})


def join(parts: Sequence[RankedTriples]) -> RankedTriples:
    """Put some behind others."""
    names = [part.name for part in fields(RankedTriples)]
    return RankedTriples(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norms(EqualByParts):
    """Norms of gradients: of all checkpoints side by side, each times the root of its learning rate."""

    train: tuple[Float[ndarray, " _"], ...]
    """Of the training triples in the ranking of each test triple."""
    test: Float[ndarray, " test"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InfluenceResult(EqualByParts):
    """The most influential training triples of each test triple; of the training set itself for self-influence.

    Attributes
    ----------
    test_triples
        Ids [test, 3]; None for self-influence.
    contrast_tails
        The other tails that those of the test triples were compared with; None if there were none.
    sets
        Which test triples were explained together; None if each was by itself.
    predictions
        What the model says of the test triples: scores, ranks, probabilities, equal training triples. None for
        self-influence, and in results of earlier versions.
    rankings
        One per test triple, or per set of them, best first; a single one for self-influence. `test_index` counts these.
    further
        Per ranking, the strongest proponents and opponents that it leaves out, so that both sides have ten. None are
        left out where one side was asked for.
    contributions
        What each checkpoint adds to the influences of every ranking [entry, checkpoint], where that was asked for.
    groups
        The totals of the groups of training triples, by every grouping that was asked for.
    spread
        The standard deviation over trainings of every ranking's influences [entry], where there are several: an
        influence is their mean.
    further_spread
        The same of `further`.
    norms
        The norms of the gradients of test triples and of the rankings, where influences were divided by them.
    self_influences
        The self-influences of the test triples and of the rankings, where these were asked for.
    num_ranked
        How many training triples were ranked for each test triple, where options leave some out; None for all.
    ranks
        The exact ranks of the training triples that were listed for it (`rank_of`).
    kept
        What reductions of your own report, by their names: a value for each ranking.
    learning_rate
        That of the checkpoint; of several, a list in the order of `run["checkpoints"]`.
    labels
        What the ids of all these triples are called.
    run
        How the numbers were made: versions, loss, tracked tensors, precision, hashes, counts, seconds.
    """

    test_triples: Int[ndarray, "test 3"] | None = field(repr=False)
    contrast_tails: Int[ndarray, " test"] | None = field(default=None, repr=False)
    sets: TestSets | None = field(default=None, repr=False)
    predictions: Predictions | None = field(default=None, repr=False)
    rankings: tuple[RankedTriples, ...] = field(repr=False)
    further: tuple[RankedTriples, ...] = field(repr=False)
    contributions: "tuple[Float[ndarray, '_ checkpoint'], ...] | None" = field(default=None, repr=False)
    spread: tuple[Float[ndarray, " _"], ...] | None = field(default=None, repr=False)
    further_spread: tuple[Float[ndarray, " _"], ...] | None = field(default=None, repr=False)
    norms: Norms | None = field(default=None, repr=False)
    self_influences: SelfInfluences | None = field(default=None, repr=False)
    groups: tuple[GroupInfluences, ...] = field(default=(), repr=False)
    num_ranked: Int[ndarray, " answer"] | None = field(default=None, repr=False)
    ranks: ListedRanks | None = field(default=None, repr=False)
    kept: Mapping[str, tuple[Json, ...]] = field(default_factory=dict, repr=False)
    top_k: int
    learning_rate: float | list[float]
    labels: Labels = field(repr=False)
    run: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        """Say in one line what was asked, of how many training triples."""
        return f"InfluenceResult({self.summary})"

    def _repr_html_(self) -> str:
        """Show the first answers in a notebook."""
        from tracin_dask.report.notebook import html  # noqa: PLC0415 - it reads this class

        return html(self)

    def __len__(self) -> int:
        """Count the answers: test triples, or sets of them; one for self-influence."""
        return len(self.rankings)

    def __getitem__(self, test_index: SupportsIndex) -> "InfluenceResult":
        """Give one answer with all that is known of it, as a result; a negative index counts from the end.

        Raises
        ------
        IndexError
            If there is no such answer.
        """
        from tracin_dask.report.one_answer import one_answer  # noqa: PLC0415 - it makes this class

        place = operator.index(test_index)
        if not -len(self) <= place < len(self):
            raise IndexError(f"no answer has index {place}: the result has {len(self):,}")
        return one_answer(self, place % len(self))

    def __iter__(self) -> "Iterator[InfluenceResult]":
        """Give each answer as a result."""
        return map(self.__getitem__, range(len(self)))

    @property
    def summary(self) -> str:
        """What was asked, of how many training triples, in a few words."""
        number = len(self)
        what = "self-influence"
        if self.test_triples is not None:
            kind = "test triple" if self.sets is None else "set"
            what = f"{number:,} {kind}{'' if number == 1 else 's'}"
        return f"{what}, {self.run['num_training_triples']:,} training triples, loss {self.run['loss']}"

    @property
    def value_name(self) -> str:
        """What files and tables call an influence."""
        return "influence" if self.test_triples is not None else "self_influence"

    def side(self, name: str, test_index: int = 0) -> RankedTriples:
        """Give the strongest `proponents` or `opponents` of a test triple, as far as the result has them."""
        sign = {"proponents": 1, "opponents": -1}[name]
        parts = (self.rankings[test_index], self.further[test_index])
        return join([part.take(sign * part.influence > 0) for part in parts])

    def question(self, test_index: int = 0) -> tuple[list[int], int | None]:
        """Give the ids of a test triple, and the other tail that it was compared with, if any."""
        assert self.test_triples is not None  # noqa: S101 - self-influence asks about none
        other = None if self.contrast_tails is None else int(self.contrast_tails[test_index])
        return self.test_triples[test_index].tolist(), other

    def to_dict(self, test_index: int = 0) -> dict[str, Any]:
        """Give one test triple's result in the shape of its JSON file."""
        from tracin_dask.report.json import to_dict  # noqa: PLC0415 - formats read and write this class

        return to_dict(self, test_index)

    def to_pandas(self, *, compact: bool = False) -> "pd.DataFrame":
        """Give all rankings as one table: a row per test triple and training triple, best first.

        With `compact`, there are few columns: `test` (the test triple or set, not for self-influence), `rank`, the
        influence, and `head`, `relation` and `tail` by their names, or else by their labels.
        """
        from tracin_dask.report.entries import compact_table, long_table  # noqa: PLC0415 - formats read and write this class

        return (compact_table(self) if compact else long_table(self)).to_pandas()

    def plot(self, kind: "Plot" = "top", test_index: int = 0, *, most: int = 10) -> "Axes":
        """Draw one answer with Matplotlib.

        Parameters
        ----------
        kind
            `top`: the strongest proponents and opponents as bars. `histogram`: all listed influences. `paths`: the
            best paths from the head of the test triple to its tail (`tracin_dask.paths_of`).
        test_index
            The answer.
        most
            Bars of each side, or paths.

        Raises
        ------
        ConfigError
            If Matplotlib is missing, or paths are wanted of self-influence.
        """
        from tracin_dask.report.plot import plot  # noqa: PLC0415 - it reads this class

        return plot(self, kind, test_index, most=most)

    def group_tables(self) -> Iterator[pa.Table]:
        """Give the groups of each test triple by each grouping, one table after the other, the largest first.

        Raises
        ------
        ConfigError
            If the run had no groupings.
        """
        return group_tables(self)

    def groups_to_pandas(self) -> "pd.DataFrame":
        """Give all groups of training triples as one table: `group_tables`, one below the other.

        Raises
        ------
        ConfigError
            If the run had no groupings.
        """
        return pa.concat_tables(self.group_tables()).to_pandas()

    def write_json(self, path: AnyPath, test_index: int = 0) -> None:
        """Write one test triple's result, whole or not at all, and all its groups in a separate file."""
        from tracin_dask.report.json import write_json  # noqa: PLC0415 - formats read and write this class

        write_json(self, place_of(path), test_index)

    def write_directory(self, directory: AnyPath, *, overwrite: bool = False) -> Path | Place:
        """Write `triple_{h}_{r}_{t}.json` for every test triple (or `self_influence.json`), and `summary.json`.

        Returns the path of the summary, which is written last.

        Raises
        ------
        ResultError
            If the folder has files of an earlier result, and these are not to be overwritten.
        """
        from tracin_dask.report.folder import write_directory  # noqa: PLC0415 - formats read and write this class

        summary = write_directory(self, place_of(directory), overwrite=overwrite)
        return summary.local_path() or summary
