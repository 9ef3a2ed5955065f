"""Pieces of other sizes than a CPU's, on a CPU."""

from dataclasses import replace

from tracin_dask.influence.conve import folded
from tracin_dask.influence.tiling import ON_CPU, ON_GPU


def tile(monkeypatch, **sizes: int) -> None:
    """Cut batches into pieces of these sizes."""
    monkeypatch.setattr(folded, "tiling_of", lambda _: replace(ON_CPU, **sizes))


def tile_as_on_a_gpu(monkeypatch) -> None:
    """Cut batches as on a GPU, where the host reads no values."""
    monkeypatch.setattr(folded, "tiling_of", lambda _: ON_GPU)
