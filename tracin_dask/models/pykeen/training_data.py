"""Triples as PyKEEN keeps them: its datasets, and folders such as `training_triples`. Needs the extra `pykeen`."""

import gzip
import pathlib
import pickle  # only the name of its error: nothing is unpickled
import zlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import torch

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.models.pykeen.imports import CoreTriplesFactory, TriplesFactory, dataset_resolver
from tracin_dask.places.place import Place

Split = Literal["train", "valid", "test"]
_SPLITS = {"train": "training", "valid": "validation", "test": "testing"}
_LABELS = {"label": pa.string(), "id": pa.int64()}
_TRIPLES = {"head": pa.int64(), "relation": pa.int64(), "tail": pa.int64()}
_EXPECTED = "expected a folder that PyKEEN's TriplesFactory.to_path_binary or PipelineResult.save_to_directory wrote"


def load_dataset(name: str, *, inverses: bool, split: Split = "train") -> CoreTriplesFactory:
    """Give the training triples, or others, of a dataset of PyKEEN, which is downloaded as PyKEEN does.

    Raises
    ------
    ConfigError
        If there is none of this name, PyKEEN cannot load it, or it has no such triples.
    """
    known = dataset_resolver.lookup_dict
    key = dataset_resolver.normalize(name)
    if key not in known:
        close = get_close_matches(key, known)
        meant = f"; did you mean {' or '.join(close)}?" if close else f"; it has {', '.join(sorted(known))}"
        raise ConfigError(f"there is no file {name}, and PyKEEN has no dataset of this name{meant}")
    try:
        found = dataset_resolver.make(key, {"create_inverse_triples": inverses}).factory_dict.get(_SPLITS[split])
    except (OSError, ImportError, RuntimeError, ValueError, TypeError) as error:
        raise ConfigError(f"PyKEEN cannot load its dataset {name}: {type(error).__name__}: {error}") from error
    if found is None:
        raise ConfigError(f"PyKEEN's dataset {name} has no {_SPLITS[split]} triples; leave out --{split}")
    return found


def read_training_folder(folder: Place) -> TriplesFactory:
    """Read a folder `training_triples` without running code from it, which PyKEEN's own reader may do.

    Raises
    ------
    TriplesError
        If a file is missing or damaged, or they contradict each other.
    """
    base = _read_base(folder / "base.pth")
    triples = _read_columns(folder / "numeric_triples.tsv.gz", _TRIPLES)
    entities, relations = (_read_columns(folder / f"{kind}_to_id.tsv.gz", _LABELS) for kind in ("entity", "relation"))
    ids = np.stack([triples[name].to_numpy() for name in _TRIPLES], axis=1)
    try:
        return TriplesFactory(ids, _id_map(entities), _id_map(relations), **base)
    except (ValueError, TypeError) as error:
        raise TriplesError(f"{folder}: its files contradict each other: {error}") from error


def _id_map(table: pa.Table) -> dict[str, int]:
    return dict(zip(table["label"].to_pylist(), table["id"].to_pylist(), strict=True))


def _read_columns(path: Place, columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Read columns of a compressed table with a header; labels may be quoted."""
    try:
        with path.open() as file, gzip.open(file) as text:
            return pa.csv.read_csv(
                text,
                parse_options=pa.csv.ParseOptions(delimiter="\t"),
                convert_options=pa.csv.ConvertOptions(column_types=columns, include_columns=list(columns)),
            )
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise TriplesError(f"{path}: cannot be read as columns {', '.join(columns)}: {error}; {_EXPECTED}") from error


def _read_base(path: Place) -> dict[str, Any]:
    """Read the numbers of entities and relations, and whether the training adds inverse triples."""
    types = {"num_entities": int, "num_relations": int, "create_inverse_triples": bool}
    paths: list[Any] = [pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath]
    try:
        with path.open() as file, torch.serialization.safe_globals(paths):
            contents = torch.load(file, weights_only=True)
        found = {name: contents[name] for name in types}
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError, LookupError, TypeError, ValueError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise TriplesError(f"{path}: cannot be read without running code from it: {lines[0]}; {_EXPECTED}") from error
    if any(type(found[name]) is not kind for name, kind in types.items()):
        raise TriplesError(f"{path}: it states {found}; {_EXPECTED}")
    return found
