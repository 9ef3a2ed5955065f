"""Pieces of other sizes than a CPU's, on a CPU."""

from dataclasses import replace

from tracin_dask.influence import devices, scoring, table_gradients
from tracin_dask.influence.autograd import engine
from tracin_dask.influence.conve import folded
from tracin_dask.influence.conve.terms import all_scores_norm
from tracin_dask.influence.preconditioners import blocks, row_sums
from tracin_dask.influence.tiling import ON_CPU, ON_GPU, Tiling


def tile(monkeypatch, **sizes: int) -> Tiling:
    """Cut batches into pieces of these sizes."""
    return set_tiling(monkeypatch, replace(ON_CPU, **sizes))


def tile_as_on_a_gpu(monkeypatch) -> Tiling:
    """Cut batches as on a GPU, where the host reads no values."""
    monkeypatch.setattr(devices, "computes_ahead", lambda _: True)
    return set_tiling(monkeypatch, ON_GPU)


def set_tiling(monkeypatch, tiling: Tiling) -> Tiling:
    """Cut batches so."""
    for module in (folded, scoring, engine, table_gradients, all_scores_norm, blocks, row_sums):
        monkeypatch.setattr(module, "tiling_of", lambda _: tiling)
    return tiling
