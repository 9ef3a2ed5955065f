"""What `--train` names: a store, a text file, or training triples of PyKEEN, which become a text file of ids."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tracin_dask.cli.options.shape import shape_of
from tracin_dask.cli.options.values import PykeenDataset
from tracin_dask.cli.say import say
from tracin_dask.errors import ConfigError
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.triples.idmap import LABEL_FIRST
from tracin_dask.triples.ingest import IngestOptions, StageProgress
from tracin_dask.triples.shape import PLAIN

if TYPE_CHECKING:
    from tracin_dask.cli.ingest import IngestArguments
    from tracin_dask.cli.options.job import JobFlags
    from tracin_dask.models.pykeen.imports import CoreTriplesFactory
    from tracin_dask.models.pykeen.training_data import Split

MAPS = ("entity_to_id", "relation_to_id", "map_columns")
INTEGERS = ("labels", "ids")
SHAPE = ("columns", "delimiter", "header")
"""Options that say how text files are read."""
PYKEENS_ORDER = "train_index counts the triples of PyKEEN's mapped_triples from 0; inverse triples follow them"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingText:
    """A text file of training triples, the id maps that belong to it, and how it is read."""

    train: Place
    entity_to_id: Place | None
    relation_to_id: Place | None
    options: IngestOptions


def kind_of(train: Place | PykeenDataset) -> Literal["store", "text", "pykeen"]:
    """Tell what `--train` names; a folder that PyKEEN wrote is known by the file of its triples."""
    if isinstance(train, PykeenDataset):
        return "pykeen"
    if not train.is_folder():
        return "text"
    return "pykeen" if (train / "numeric_triples.tsv.gz").is_file() else "store"


@contextmanager
def training_text(options: "JobFlags | IngestArguments", progress: StageProgress) -> Iterator[TrainingText]:
    """Give the text that is ingested; that of PyKEEN's training triples is made for it, and deleted at the end.

    Raises
    ------
    ConfigError
        If PyKEEN is not installed, or has no such dataset, or there are no labels.
    TriplesError
        If PyKEEN's folder cannot be read.
    """
    train = options["train"]
    read = IngestOptions(
        labels=options["labels"],
        ids=options["ids"],
        map_columns=options["map_columns"],
        skip_invalid=options["skip_invalid"],
        shape=shape_of(options),
        entity_names=options["entity_names"],
        edge_map=options["edge_map"],
        progress=progress,
        say=partial(say, err=True),
    )
    if not isinstance(train, PykeenDataset) and kind_of(train) == "text":
        yield TrainingText(
            train=train,
            entity_to_id=options["entity_to_id"],
            relation_to_id=options["relation_to_id"],
            options=read,
        )
        return
    with tempfile.TemporaryDirectory(prefix="tracin-dask-") as temporary:
        folder = Path(temporary)
        yield TrainingText(
            train=_write_pykeen(train, folder),
            entity_to_id=place_of(folder / "entity_to_id.tsv"),
            relation_to_id=place_of(folder / "relation_to_id.tsv"),
            options=replace(read, labels=False, ids=True, map_columns=LABEL_FIRST, skip_invalid=False, shape=PLAIN),
        )


def refuse_options_of_text(options: Mapping[str, Any], source: Place | PykeenDataset, names: Sequence[str]) -> None:
    """Refuse a folder that PyKEEN did not write, and what says how a text is read where `source` is none.

    Raises
    ------
    ConfigError
        With the options among `names` that are given.
    """
    kind = kind_of(source)
    if kind == "store":
        raise ConfigError(
            f"{source} is a folder, but none that PyKEEN wrote; give a text file of triples, or a folder "
            "training_triples"
        )
    given = [f"--{name.replace('_', '-')}" for name in names if is_given(name, options[name])]
    if given and kind == "pykeen":
        raise ConfigError(f"{', '.join(given)}: only for a text file; {source} has ids and id maps of its own")


def is_given(name: str, value: object) -> bool:
    """Tell whether an option was given; a header may be denied."""
    return value not in (None, ()) and (value is not False or name == "header")


def load_pykeen(source: Place | PykeenDataset, split: "Split" = "train") -> "CoreTriplesFactory":
    """Load triples of PyKEEN: those of a folder, or the part of a dataset.

    Raises
    ------
    ConfigError
        If PyKEEN is not installed, or has no such dataset.
    TriplesError
        If the folder cannot be read.
    """
    try:
        from tracin_dask.models.pykeen.training_data import load_dataset, read_training_folder  # noqa: PLC0415 - PyKEEN is optional
    except ConfigError as error:
        what = "there is no such file; as a dataset of PyKEEN" if isinstance(source, PykeenDataset) else "of PyKEEN"
        raise ConfigError(f"{source}: {what}, {error}") from error
    if isinstance(source, PykeenDataset):
        return load_dataset(source.name, inverses=source.inverses, split=split)
    return read_training_folder(source)


def _write_pykeen(train: Place | PykeenDataset, folder: Path) -> Place:
    """Write id maps, and the triples as ids: line n + 1 is triple n of PyKEEN's `mapped_triples`; inverses follow."""
    factory = load_pykeen(train)
    from tracin_dask.models.pykeen.graph import read_id_maps, write_graph  # noqa: PLC0415 - PyKEEN is optional

    write_graph(factory, read_id_maps(factory), folder)
    return place_of((folder / "train.txt").rename(folder / f"{train.name}.txt"))
