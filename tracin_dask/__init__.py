"""Exact TracIn for knowledge-graph models: which training triples made the model predict this?"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, Loss, OneToAll
    from tracin_dask.launch.run import run
    from tracin_dask.models.checkpoints.series import load_checkpoints
    from tracin_dask.models.description import ModelDescription
    from tracin_dask.models.load import load_checkpoint
    from tracin_dask.models.pykeen.callback import TracInCheckpointTrainingCallback
    from tracin_dask.models.scoring import ScoringModel
    from tracin_dask.report.formats import read_result, write_result
    from tracin_dask.report.page.write import write_pages
    from tracin_dask.report.paths.metapaths import metapath_counts
    from tracin_dask.report.paths.search import ScoredPath, paths_of
    from tracin_dask.report.paths.table import path_table
    from tracin_dask.report.result import InfluenceResult
    from tracin_dask.resources import WorkerOptions
    from tracin_dask.runs.config import RunConfig
    from tracin_dask.runs.execute.allocator import keep_freed_memory
    from tracin_dask.runs.execute.driver import Execution
    from tracin_dask.runs.options.computing import ComputingOptions
    from tracin_dask.runs.options.masking import MaskingOptions
    from tracin_dask.runs.options.question import QuestionOptions
    from tracin_dask.runs.options.ranking import RankingOptions
    from tracin_dask.runs.options.saving import SavingOptions
    from tracin_dask.runs.options.scoring import ScoringOptions
    from tracin_dask.triples.entity_types import read_entity_types
    from tracin_dask.triples.group_ingest import GroupOptions, ingest_groups
    from tracin_dask.triples.groups import open_groups
    from tracin_dask.triples.ingest import IngestOptions, ingest
    from tracin_dask.triples.store import open_store
    from tracin_dask.triples.training_triples import read_training_triples

__version__ = "0.1.0"
__all__ = [
    "SLCWA",
    "BinaryCrossEntropy",
    "ComputingOptions",
    "Execution",
    "GroupOptions",
    "InfluenceResult",
    "IngestOptions",
    "Loss",
    "MaskingOptions",
    "ModelDescription",
    "OneToAll",
    "QuestionOptions",
    "RankingOptions",
    "RunConfig",
    "SavingOptions",
    "ScoredPath",
    "ScoringModel",
    "ScoringOptions",
    "TracInCheckpointTrainingCallback",
    "WorkerOptions",
    "__version__",
    "ingest",
    "ingest_groups",
    "keep_freed_memory",
    "load_checkpoint",
    "load_checkpoints",
    "metapath_counts",
    "open_groups",
    "open_store",
    "path_table",
    "paths_of",
    "read_entity_types",
    "read_result",
    "read_training_triples",
    "run",
    "write_pages",
    "write_result",
]

_HOME = {
    "BinaryCrossEntropy": "tracin_dask.influence.losses",
    "ComputingOptions": "tracin_dask.runs.options.computing",
    "Execution": "tracin_dask.runs.execute.driver",
    "GroupOptions": "tracin_dask.triples.group_ingest",
    "InfluenceResult": "tracin_dask.report.result",
    "IngestOptions": "tracin_dask.triples.ingest",
    "Loss": "tracin_dask.influence.losses",
    "MaskingOptions": "tracin_dask.runs.options.masking",
    "ModelDescription": "tracin_dask.models.description",
    "OneToAll": "tracin_dask.influence.losses",
    "QuestionOptions": "tracin_dask.runs.options.question",
    "RankingOptions": "tracin_dask.runs.options.ranking",
    "RunConfig": "tracin_dask.runs.config",
    "SLCWA": "tracin_dask.influence.losses",
    "SavingOptions": "tracin_dask.runs.options.saving",
    "ScoredPath": "tracin_dask.report.paths.search",
    "ScoringModel": "tracin_dask.models.scoring",
    "ScoringOptions": "tracin_dask.runs.options.scoring",
    "TracInCheckpointTrainingCallback": "tracin_dask.models.pykeen.callback",
    "WorkerOptions": "tracin_dask.resources",
    "ingest": "tracin_dask.triples.ingest",
    "ingest_groups": "tracin_dask.triples.group_ingest",
    "keep_freed_memory": "tracin_dask.runs.execute.allocator",
    "load_checkpoint": "tracin_dask.models.load",
    "load_checkpoints": "tracin_dask.models.checkpoints.series",
    "metapath_counts": "tracin_dask.report.paths.metapaths",
    "open_groups": "tracin_dask.triples.groups",
    "open_store": "tracin_dask.triples.store",
    "path_table": "tracin_dask.report.paths.table",
    "paths_of": "tracin_dask.report.paths.search",
    "read_entity_types": "tracin_dask.triples.entity_types",
    "read_result": "tracin_dask.report.formats",
    "read_training_triples": "tracin_dask.triples.training_triples",
    "run": "tracin_dask.launch.run",
    "write_pages": "tracin_dask.report.page.write",
    "write_result": "tracin_dask.report.formats",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    """Import a public name when it is first used, so that `import tracin_dask` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'tracin_dask' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
