"""The outcome of a run: rankings with labels, as JSON, as a table, and on disk."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.influence.reductions.topk import Ranking, TopK
from tracin_dask.places.files import write_bytes
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.runs.group_influences import GroupInfluences
from tracin_dask.runs.work.norms import Norms
from tracin_dask.triples.store import TripleStore

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 2
"""2: `learning_rate` is a list where there are several checkpoints."""
_ROLES = ("head", "relation", "tail")
_SUMMARISED = ("test_triple", "contrast", "test_gradient_norm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What ids are called: labels always, readable names where the store has them."""

    store: TripleStore

    def describe(self, triple: Sequence[int], prefix: str = "") -> dict[str, int | str]:
        """Give a triple's ids, labels and known names, under keys like `train_head`, `train_head_label`."""
        described: dict[str, int | str] = {}
        for role, number in zip(_ROLES, triple, strict=True):
            is_relation = role == "relation"
            labels = self.store.relations if is_relation else self.store.entities
            names = self.store.relation_names if is_relation else self.store.entity_names
            described[f"{prefix}{role}"] = number
            described[f"{prefix}{role}_label"] = labels.label(number)
            name = names[number].as_py() if names is not None else ""
            if name:
                described[f"{prefix}{role}_name"] = name
        return described


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluenceResult:
    """The most influential training triples of each test triple; of the training set itself for self-influence.

    Attributes
    ----------
    test_triples
        Ids [test, 3]; None for self-influence.
    contrast_tails
        The tails against which those of the test triples were held; None if there were none.
    rankings
        One per test triple, best first; a single one for self-influence.
    contributions
        What each checkpoint adds to the influences of every ranking [entry, checkpoint], where that was asked for.
    groups
        The totals of the groups of training triples, by every grouping that was asked for.
    norms
        The norms of the gradients of test triples and of what is reported, where influences were divided by them.
    top
        The `top_k` highest and lowest of every test triple, however `rankings` are chosen from them.
    learning_rate
        That of the checkpoint; of several, a list in the order of `run["checkpoints"]`.
    run
        How the numbers were made: versions, loss, tracked tensors, precision, hashes, counts, seconds.
    """

    test_triples: Int[ndarray, "test 3"] | None = field(repr=False)
    contrast_tails: Int[ndarray, " test"] | None = field(default=None, repr=False)
    rankings: tuple[Ranking, ...] = field(repr=False)
    contributions: "tuple[Float[ndarray, 'entry checkpoint'], ...] | None" = field(default=None, repr=False)
    norms: Norms | None = field(default=None, repr=False)
    groups: tuple[GroupInfluences, ...] = field(default=(), repr=False)
    top: TopK = field(repr=False)
    top_k: int
    learning_rate: float | list[float]
    run: Mapping[str, Any] = field(repr=False)
    labels: Labels = field(repr=False)

    def to_dict(self, test_index: int = 0) -> dict[str, Any]:
        """Give one test triple's result in the shape of its JSON file."""
        about: dict[str, Any]
        if self.test_triples is None:
            about, entries = {"mode": "self"}, "self_influences"
        else:
            about = {"test_triple": self.labels.describe(self.test_triples[test_index].tolist())}
            entries = "influences"
        if self.contrast_tails is not None:
            about["contrast"] = self._contrast(test_index)
        about |= self._test_norm(test_index)
        about |= {
            "top_k": self.top_k,
            "learning_rate": self.learning_rate,
            entries: list(self._entries(test_index)),
        }
        if self.groups:
            about["group_totals"] = [found.to_dict(test_index, self.run["rank_by"]) for found in self.groups]
        return about | {"run": dict(self.run)}

    def to_pandas(self) -> "pd.DataFrame":
        """Give all rankings as one table: a row per test triple and training triple, best first."""
        import pandas as pd  # noqa: PLC0415 - a second of import that only tables need

        rows = []
        for test_index in range(len(self.rankings)):
            test: dict[str, Any] = {}
            if self.test_triples is not None:
                described = self.labels.describe(self.test_triples[test_index].tolist(), "test_")
                test = {"test_index": test_index} | described | self._test_norm(test_index)
            entries = enumerate(self._entries(test_index), start=1)
            rows += [test | {"rank": rank} | entry for rank, entry in entries]
        return pd.DataFrame(rows, columns=None if rows else self._columns())

    def groups_to_pandas(self) -> "pd.DataFrame":
        """Give all groups of training triples as one table: `group_tables`, one below the other.

        Raises
        ------
        ConfigError
            If the run had no groupings.
        """
        import pandas as pd  # noqa: PLC0415 - a second of import that only tables need

        return pd.concat([table.to_pandas() for table in self.group_tables()], ignore_index=True)

    def group_tables(self) -> Iterator[pa.Table]:
        """Give the groups of each test triple by each grouping, largest first, so that only one table is in memory.

        A row is a group that has training triples: `test_index` and the ids `test_head`, `test_relation` and
        `test_tail` (null for self-influence), `group_by`, and what `GroupInfluences.table` gives.

        Raises
        ------
        ConfigError
            If the run had no groupings.
        """
        if not self.groups:
            raise ConfigError("the run added up no groups; ask for some with group_by")
        for test_index in range(len(self.rankings)):
            triple = [None] * 3 if self.test_triples is None else self.test_triples[test_index].tolist()
            names = ("test_index", "test_head", "test_relation", "test_tail")
            for found in self.groups:
                table = found.table(test_index, self.run["rank_by"])
                size = len(table)
                test = {
                    name: pa.repeat(pa.scalar(value, pa.int64()), size)
                    for name, value in zip(names, [test_index, *triple], strict=True)
                }
                by = {"group_by": pa.repeat(found.grouping.name, size)}
                yield pa.table({**test, **by, **{name: table[name] for name in table.column_names}})

    def write_json(self, path: AnyPath, test_index: int = 0) -> None:
        """Write one test triple's result, whole or not at all."""
        write_json(path, self.to_dict(test_index))

    def write_directory(self, directory: AnyPath) -> Path | Place:
        """Write `triple_{h}_{r}_{t}.json` for every test triple (or `self_influence.json`), and `summary.json`.

        Returns the path of the summary, which is written last.
        """
        folder = place_of(directory)
        folder.make_folder()
        results = []
        for index, ranking in enumerate(self.rankings):
            contents = self.to_dict(index)
            name = "self_influence.json"
            if self.test_triples is not None:
                name = f"{self._file_stem(index)}.json"
            write_json(folder / name, contents)
            summary = {"index": index, "file": name, "num_influences": len(ranking)}
            results.append(summary | {key: contents[key] for key in _SUMMARISED if key in contents})
        summary_path = folder / "summary.json"
        write_json(
            summary_path,
            {
                "num_results": len(results),
                "top_k": self.top_k,
                "learning_rate": self.learning_rate,
                "results": results,
                "run": dict(self.run),
            },
        )
        return summary_path.local_path() or summary_path

    def _file_stem(self, test_index: int) -> str:
        assert self.test_triples is not None  # noqa: S101 - self-influence has a file of its own
        stem = f"triple_{'_'.join(map(str, self.test_triples[test_index].tolist()))}"
        return stem if self.contrast_tails is None else f"{stem}_not_{self.contrast_tails[test_index]}"

    def _contrast(self, test_index: int) -> dict[str, int | str]:
        """Give the other tail of a test triple, with its label and name."""
        assert self.test_triples is not None  # noqa: S101 - it belongs to them
        assert self.contrast_tails is not None  # noqa: S101 - asked for only then
        described = self.labels.describe(
            [*self.test_triples[test_index, :2].tolist(), int(self.contrast_tails[test_index])]
        )
        return {key: value for key, value in described.items() if key.startswith("tail")}

    def _test_norm(self, test_index: int) -> dict[str, float]:
        """Give the norm of a test triple's gradient, where influences were divided by norms."""
        return {} if self.norms is None else {"test_gradient_norm": float(self.norms.test[test_index])}

    def _columns(self) -> list[str]:
        """Name the columns of a table that has no rows."""
        test: list[str] = []
        if self.test_triples is not None:
            described = self.labels.describe(self.test_triples[0].tolist(), "test_")
            test = ["test_index", *described, *self._test_norm(0)]
        train = self.labels.describe((0, 0, 0), "train_")
        parts = [] if self.contributions is None else [f"{self._value_name}_by_checkpoint"]
        norms = [] if self.norms is None else ["train_gradient_norm"]
        return [*test, "rank", *train, self._value_name, *parts, *norms, "train_index"]

    @property
    def _value_name(self) -> str:
        return "influence" if self.test_triples is not None else "self_influence"

    def _entries(self, test_index: int) -> Iterator[dict[str, Any]]:
        """Give one test triple's entries, best first."""
        ranking = self.rankings[test_index]
        for place, triple in enumerate(ranking.triples.tolist()):
            entry = self.labels.describe(triple, "train_") | {self._value_name: float(ranking.influence[place])}
            if self.contributions is not None:
                entry[f"{self._value_name}_by_checkpoint"] = self.contributions[test_index][place].tolist()
            if self.norms is not None:
                entry["train_gradient_norm"] = float(self.norms.train[test_index][place])
            yield entry | {"train_index": int(ranking.train_index[place])}


def write_json(path: AnyPath, contents: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all; NaN is refused, since JSON has none."""
    place = place_of(path)
    place.parent.make_folder()
    write_bytes(place, json.dumps(contents, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")
