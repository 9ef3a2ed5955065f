"""How much is made at a time of what is too large to be held whole: what stays in a CPU's caches, or fills a GPU."""

from dataclasses import dataclass

import torch

from tracin_dask.influence.devices import computes_ahead


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Sizes of batches and of their pieces. Pieces are at least one head, entity or row, however large these are."""

    most_rows: int
    """Of an automatic batch: larger ones save no more of what every batch costs."""
    groups_float32: bool
    """Whether PyTorch multiplies runs of float32 rows with a matrix each by itself, without copies."""
    by_tap: bool
    """Whether operators may be called for each entry of the kernel, which saves a copy of the patches."""
    by_pair: bool
    """Whether operators may be called for each (head, relation) that has many rows."""
    jacobian_bytes: int
    """Of Jacobians, and of copies of them with the rows that they are multiplied with, and the products."""
    score_bytes: int
    """Of scores of entities, or of these entities' embeddings, or of matrices of rows."""
    corrupted_triples: int
    """Triples and those that are made from them that are scored at a time."""
    gradients: int
    """Of which several belong to one triple, and whose features are held at a time; at least one triple's."""
    move_bytes: int
    """Of what test triples' gradients move: features, or vectors of rows; at least along one gradient at a time."""
    value_bytes: int
    """Of intermediate values of any other model's scores, or of their derivatives."""
    gradient_bytes: int
    """Of gradients of any other model's losses of all scores by whole tensors; at least one gradient at a time.

    On a CPU a call for several takes longer than one for each, and leaves the caches.
    """
    rows: int
    """Rows that any other model is differentiated at."""
    directions: int
    """Along which any other model's scores move, where that takes little memory."""

    def rows_to_corrupt(self, num_parts: int) -> int:
        """Count the rows of a batch that are scored at a time with the triples made from them; at least one."""
        return max(1, self.corrupted_triples // num_parts)


ON_CPU = Tiling(
    most_rows=8192,
    groups_float32=True,
    by_tap=True,
    by_pair=True,
    jacobian_bytes=8 * 2**20,
    score_bytes=64 * 2**20,
    corrupted_triples=8192,
    gradients=256,
    move_bytes=8 * 2**20,
    value_bytes=256 * 2**20,
    gradient_bytes=0,
    rows=2048,
    directions=16,
)
ON_GPU = Tiling(
    most_rows=2**18,
    groups_float32=False,
    by_tap=False,
    by_pair=False,
    jacobian_bytes=256 * 2**20,
    score_bytes=4 * 2**30,
    corrupted_triples=2**18,
    gradients=2**18,
    move_bytes=2**30,
    value_bytes=2**31,
    gradient_bytes=2**31,
    rows=2**20,
    directions=1024,
)
"""A GPU has the memory, and each piece costs it the launches of its operators."""


def tiling_of(device: torch.device) -> Tiling:
    """Choose by the kind of device."""
    return ON_GPU if computes_ahead(device) else ON_CPU
