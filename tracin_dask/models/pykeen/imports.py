"""The parts of PyKEEN that this package uses; without PyKEEN, importing them says what to install."""

from tracin_dask.errors import ConfigError

try:
    from pykeen.datasets import dataset_resolver
    from pykeen.models import ConvE, ERModel, model_resolver
    from pykeen.nn import Embedding
    from pykeen.nn.modules import ConvEInteraction
    from pykeen.training import TrainingCallback, TrainingLoop
    from pykeen.triples import CoreTriplesFactory, TriplesFactory
    from pykeen.triples.triples_factory import INVERSE_SUFFIX
    from pykeen.utils import NoRandomSeedNecessary
except ImportError as error:
    raise ConfigError(f"this needs PyKEEN ({error}): pip install 'tracin-dask[pykeen]'") from error

__all__ = [
    "INVERSE_SUFFIX",
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
