"""The parameter tensors of ConvE by name, and the groups that its terms belong to."""

ENTITIES = "entity_embeddings.weight"
RELATIONS = "relation_embeddings.weight"
ENTITY_BIAS = "entity_bias"
CONVOLUTION_TENSORS = ("bn0.weight", "bn0.bias", "conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias")
CONVOLUTION = frozenset(CONVOLUTION_TENSORS)
BELOW_PROJECTION = CONVOLUTION | {ENTITIES, RELATIONS}
"""The tensors whose gradients need the pass back through the projection."""
FC_WEIGHT = "fc.weight"
FC_BIAS = "fc.bias"
FC = frozenset({FC_WEIGHT, FC_BIAS})
BN2_WEIGHT = "bn2.weight"
BN2_BIAS = "bn2.bias"
BESIDE_FC = CONVOLUTION | {BN2_WEIGHT, BN2_BIAS}
"""The other tensors that every score shares."""
INSIDE = BELOW_PROJECTION | FC | {BN2_WEIGHT, BN2_BIAS}
"""The tensors that x(h, r) depends on: all but the bias of the entities."""
