"""The folder of a study: what was asked, and what each training gave, written whole or not at all."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tracin_dask.errors import ResumeError
from tracin_dask.identity import Json
from tracin_dask.places.explained import writing
from tracin_dask.places.files import locked_folder, read_bytes, write_bytes, write_json_file
from tracin_dask.places.registry import place_of
from tracin_dask.validation.measured import Measured

STUDY = "study.json"
GRAPH = "graph"
"""The folder of the graph's store, which is made before a study is stated."""


def digest_of_json(value: Json) -> str:
    """Give a short digest of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFolder:
    """A folder that one study writes; trainings that it has are not repeated."""

    path: Path

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Let no other process write here until the block ends.

        Raises
        ------
        BusyError
            If another process does.
        WriteError
            If the folder cannot be written.
        """
        with writing(self.path, "the study"):
            place_of(self.path).make_folder()
            with locked_folder(self.path):
                yield

    def claim(self, identity: Mapping[str, Json]) -> None:
        """State the study, or continue it.

        Raises
        ------
        ResumeError
            If the folder has another study, or files that no study wrote.
        """
        stated = self.path / STUDY
        if stated.exists():
            self._refuse_another(_stated(stated), json.loads(json.dumps(identity)))
        elif any(not file.name.startswith(".") and file.name != GRAPH for file in self.path.iterdir()):
            raise ResumeError(f"{self.path} has files, but no study ({STUDY}); choose another --output-dir")
        else:
            write_json_file(stated, identity)

    def _refuse_another(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        for name in [*now, *before]:
            if before.get(name) != now.get(name):
                raise ResumeError(
                    f"{self.path} has a study with {name} {before.get(name)}, now it is {now.get(name)}; "
                    "choose another --output-dir, or give the same options as before"
                )

    def models(self, key: str) -> Path:
        """Name the folder of the checkpoints of a training."""
        return self.path / "models" / key

    def measured(self, key: str, epochs: tuple[int, ...]) -> Measured | None:
        """Read what a training gave; None if it is not finished.

        Raises
        ------
        ResumeError
            If the file is damaged.
        """
        path = self._measured_path(key)
        if not path.is_file() or not all(checkpoint_path(self.models(key), epoch).is_file() for epoch in epochs):
            return None
        try:
            with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as arrays:
                return Measured(**{name: arrays[name] for name in arrays.files})
        except (ValueError, TypeError, OSError, EOFError, BadZipFile) as error:
            raise ResumeError(f"{path} is damaged ({error}); delete it, and its training is repeated") from error

    def write(self, key: str, measured: Measured, checkpoints: Mapping[int, bytes]) -> None:
        """Write what a training gave; the measurements come last, and say that it is finished."""
        for epoch, data in checkpoints.items():
            self._write(checkpoint_path(self.models(key), epoch), data)
        file = io.BytesIO()
        np.savez(file, **asdict(measured))
        self._write(self._measured_path(key), file.getvalue())

    def _measured_path(self, key: str) -> Path:
        return self.path / "trainings" / f"{key}.npz"

    def _write(self, path: Path, data: bytes) -> None:
        with writing(path, "the result of a training", kept=lambda: "finished trainings are kept"):
            place_of(path.parent).make_folder()
            write_bytes(path, data)


def _stated(path: Path) -> Mapping[str, Any]:
    """Read what a study states of itself.

    Raises
    ------
    ResumeError
        If the file is damaged.
    """
    try:
        found = json.loads(read_bytes(path))
    except ValueError as error:
        raise ResumeError(f"{path} is damaged ({error}); choose another --output-dir") from error
    if not isinstance(found, dict):
        raise ResumeError(f"{path} states no study; choose another --output-dir")
    return found


def checkpoint_path(folder: Path, epoch: int) -> Path:
    """Name the checkpoint of an epoch, counted from 1."""
    return folder / f"checkpoint_epoch_{epoch}.pt"
