"""Several checkpoints of one training: found by name, put in order, and checked to belong together."""

import glob
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations, product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.places.files import exists
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import find_places, place_of

PATTERNS = ("*.pt", "*.pth", "*.ckpt", "*.model", "*.safetensors")
"""What counts as a checkpoint in a folder."""
WHOLE_MODEL = "trained_model.pkl"
"""What a folder of PyKEEN's pipeline has in place of these."""


def load_checkpoints(
    paths: AnyPath | Sequence[AnyPath],
    *,
    description: ModelDescription | Mapping[str, Any] | AnyPath | None = None,
    trust_pickle: bool = False,
    embedding_height: int | None = None,
    embedding_width: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[Checkpoint, ...]:
    """Load the checkpoints of one training, in the order of their epochs.

    Parameters
    ----------
    paths
        Files, folders (all files in them with the suffix of a checkpoint) or patterns of names like
        `checkpoints/*_epoch_?0.pt`.
    description, trust_pickle, embedding_height, embedding_width, dtype
        As for `load_checkpoint`.

    Raises
    ------
    CheckpointError
        If a file cannot be loaded, nothing is found, or the files do not belong together.
    """
    given = [paths] if isinstance(paths, str | Path | Place) else paths
    files = [file for path in given for file in find_files(path)]
    sizes = {"embedding_height": embedding_height, "embedding_width": embedding_width}
    loaded = [
        load_checkpoint(file, description=description, trust_pickle=trust_pickle, **sizes, dtype=dtype)
        for file in files
    ]
    checkpoints = in_order(loaded)
    check_series(checkpoints)
    return checkpoints


Trainings = tuple[tuple[Checkpoint, ...], ...]
"""The checkpoints of each of several trainings."""


def trainings_of(checkpoints: "Checkpoint | Sequence[Checkpoint] | Sequence[Sequence[Checkpoint]]") -> Trainings:
    """Tell trainings apart: each sequence of checkpoints is one, and checkpoints by themselves are of one together."""
    if isinstance(checkpoints, Checkpoint):
        return ((checkpoints,),)
    alone = tuple(one for one in checkpoints if isinstance(one, Checkpoint))
    several = tuple(tuple(one) for one in checkpoints if not isinstance(one, Checkpoint))
    return (alone, *several) if alone or not several else several


def check_trainings(trainings: Trainings) -> None:
    """Refuse checkpoints that do not belong together.

    Raises
    ------
    CheckpointError
        As `check_series` for each training; or if trainings are of different models, or the same one twice.
    """
    for one in trainings:
        check_series(one)
    first = trainings[0][0]
    for other in trainings[1:]:
        if _kind(other[0]) != _kind(first):
            raise CheckpointError(
                f"{other[0].path} is another model than {first.path}: {_differences(other[0], first)}; an ensemble is "
                "of trainings of one model"
            )
    for one, other in combinations(trainings, 2):
        for mine, theirs in product(one, other):
            same = _same(mine, theirs)
            if same:
                raise CheckpointError(
                    f"{mine.path} and {theirs.path} {same}, but an ensemble is of different trainings; leave one of "
                    "them out"
                )


def find_files(path: AnyPath) -> list[Place]:
    """Find what one path names: itself, the checkpoints in a folder, or all files that match a pattern.

    Raises
    ------
    CheckpointError
        If nothing is found.
    """
    place = place_of(path)
    if place.is_folder():
        found = [file for pattern in PATTERNS for file in place.find(pattern)] or list(place.find(WHOLE_MODEL))
        if not found:
            raise CheckpointError(
                f"the folder {place} holds no checkpoint ({', '.join(PATTERNS)} or {WHOLE_MODEL}); name the "
                "checkpoints themselves"
            )
    elif not exists(place) and glob.has_magic(str(place)):
        found = find_places(place)
        if not found:
            raise CheckpointError(f"no file matches the pattern {place}")
    else:
        found = [place]
    return sorted(found, key=_natural)


def in_order(checkpoints: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Order checkpoints by their epochs; by their names, numbers as numbers, if not all state one."""

    def key(checkpoint: Checkpoint) -> tuple[object, ...]:
        return checkpoint.epoch if has_epochs else 0, _natural(checkpoint.path)

    has_epochs = all(checkpoint.epoch is not None for checkpoint in checkpoints)
    return tuple(sorted(checkpoints, key=key))


def check_series(checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse checkpoints that cannot be of one training, and any that would count twice.

    Raises
    ------
    CheckpointError
        If there are none, sizes or number types differ, or two are the same file, hold the same weights or state the
        same epoch.
    """
    if not checkpoints:
        raise CheckpointError("no checkpoint is given; give at least one")
    usual = Counter(map(_kind, checkpoints)).most_common(1)[0][0]
    fellow = next(c for c in checkpoints if _kind(c) == usual)
    for checkpoint in checkpoints:
        if _kind(checkpoint) != usual:
            raise CheckpointError(
                f"{checkpoint.path} is another model than {fellow.path}: {_differences(checkpoint, fellow)}; "
                "the checkpoints of a run are of one training: leave it out"
            )
    for one, other in combinations(checkpoints, 2):
        same = _same(one, other)
        if same:
            raise CheckpointError(f"{one.path} and {other.path} {same}, which would count twice; leave one of them out")
        if one.epoch is not None and one.epoch == other.epoch:
            raise CheckpointError(
                f"{one.path} and {other.path} both state epoch {one.epoch}, with other weights: they are not of one "
                "training; leave one of them out"
            )


def _kind(checkpoint: Checkpoint) -> tuple[object, ...]:
    return checkpoint.config, checkpoint.dtype


def _differences(one: Checkpoint, other: Checkpoint) -> str:
    sizes, others = asdict(one.config), asdict(other.config)
    sizes["dtype"], others["dtype"] = one.dtype, other.dtype
    return ", ".join(
        f"{name} {size}, not {others.get(name)}" for name, size in sizes.items() if size != others.get(name)
    )


def _same(one: Checkpoint, other: Checkpoint) -> str:
    """Say what two checkpoints share; the best model is often a copy of an epoch's checkpoint."""
    if one.sha256 == other.sha256:
        return f"are the same file (sha256 {one.sha256})"
    return "hold the same weights" if _same_weights(one.model.module, other.model.module) else ""


def _same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Compare the smallest tensors first: these almost always differ if any do."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in sorted(pairs, key=lambda pair: pair[0].numel()))


def _natural(path: Place) -> tuple[object, ...]:
    """Give a key that sorts names with their numbers as numbers."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], str(path)
