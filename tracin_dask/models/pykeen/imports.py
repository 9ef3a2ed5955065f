"""The parts of PyKEEN that this package uses; without PyKEEN, importing them says what to install."""

from tracin_dask.errors import ConfigError

try:
    from pykeen.datasets import dataset_resolver
    from pykeen.losses import BCEAfterSigmoidLoss, BCEWithLogitsLoss, SoftplusLoss
    from pykeen.models import RGCN, CompGCN, ConvE, ERModel, InductiveNodePieceGNN, model_resolver
    from pykeen.nn import Embedding
    from pykeen.nn.message_passing import RGCNLayer, RGCNRepresentation
    from pykeen.nn.modules import ConvEInteraction
    from pykeen.nn.pyg import MessagePassingRepresentation
    from pykeen.nn.representation import CombinedCompGCNRepresentations, CompGCNLayer
    from pykeen.training import TrainingCallback, TrainingLoop
    from pykeen.triples import CoreTriplesFactory, TriplesFactory
    from pykeen.utils import NoRandomSeedNecessary
except ImportError as error:
    raise ConfigError(f"this needs PyKEEN ({error}): pip install 'tracin-dask[pykeen]'") from error

GRAPH_MODELS = (RGCN, CompGCN, InductiveNodePieceGNN)
"""Models whose representations of entities are computed from the graph."""
MESSAGE_PASSING = (
    RGCNLayer,
    RGCNRepresentation,
    CompGCNLayer,
    CombinedCompGCNRepresentations,
    MessagePassingRepresentation,
)
"""Parts of any model that pass messages over the graph."""
LOGISTIC_LOSSES = (BCEAfterSigmoidLoss, BCEWithLogitsLoss, SoftplusLoss)
"""Losses of single scores under which the sigmoid of a score is the probability of the triple."""

__all__ = [
    "GRAPH_MODELS",
    "LOGISTIC_LOSSES",
    "MESSAGE_PASSING",
    "ConvE",
    "ConvEInteraction",
    "CoreTriplesFactory",
    "ERModel",
    "Embedding",
    "NoRandomSeedNecessary",
    "TrainingCallback",
    "TrainingLoop",
    "TriplesFactory",
    "dataset_resolver",
    "model_resolver",
]
