"""The shape letters of all signatures, and the few types that every room shares.

Shapes are written with jaxtyping, e.g. `Float[Tensor, "batch test"]`:

=============  ==========================================================================
batch          training triples of one tensor call
pair           distinct (head, relation) pairs of a batch
test           test triples
dim            embedding_dim, D
feature        values of the flattened feature map, F = channel * position
channel        output channels of the convolution, C
position       places of the kernel on the stacked image, P
tap            entries of the kernel, kh * kw
entity         entities of the graph, K
relation       relations of the graph
row            rows of the store
model          models that are trained or measured together
number         all trained numbers of a model, side by side
pixel          values of the stacked image of head and relation
group          groups of training triples, by relation, head, tail or a file
entity_row     numbers of all tracked tables' rows of one entity, side by side; relation_row of one relation
dense          numbers of the tracked tensors that are not tables, side by side
=============  ==========================================================================
"""

from collections.abc import Callable
from typing import Literal

Stacking = Literal["width", "height"]
"""The axis on which ConvE puts the head image and the relation image side by side."""

Progress = Callable[[int, int], None]
"""Called with (done, total) while long work advances; units are the caller's to name."""
InverseOrder = Literal["2r, 2r + 1", "r, R + r"]
"""The rows of relation r and of its inverse, where there are R relations without their inverses."""
ALTERNATING: InverseOrder = "2r, 2r + 1"
APPENDED: InverseOrder = "r, R + r"
