"""Run metadata: how the numbers of a result were made."""

from collections.abc import Sequence
from typing import Any, TypeVar

from tracin_dask import __version__
from tracin_dask.influence.losses.identity import loss_settings
from tracin_dask.influence.preconditioners.registry import name_of
from tracin_dask.report.result import SCHEMA_VERSION
from tracin_dask.runs.inputs.masks.chosen import about_masks
from tracin_dask.runs.options.scoring import ScoringOptions
from tracin_dask.runs.plan.plan import Plan
from tracin_dask.runs.prepare import PreparedRun

Stated = TypeVar("Stated", float, str)


def about_run(prepared: PreparedRun, plan: Plan) -> dict[str, Any]:
    """State how the numbers are made, for the result."""
    info = prepared.store.info
    return {
        "schema_version": SCHEMA_VERSION,
        "tracin_dask_version": __version__,
        "mode": prepared.config.question.mode,
        "model": prepared.checkpoints[0].name,
        "loss": prepared.config.scoring.loss.name,
        **loss_settings(prepared.config.scoring.loss),
        "explain": prepared.config.question.explain,
        "normalize": prepared.config.scoring.normalize,
        "preconditioner": name_of(prepared.config.scoring.preconditioner),
        "preset": prepared.config.scoring.preset,
        **about_curvature(prepared.config.scoring),
        "rank_by": prepared.config.ranking.rank_by,
        **({"top_k_per": per} if (per := prepared.config.ranking.top_k_per) else {}),
        "checkpoint_contributions": prepared.config.saving.checkpoint_contributions,
        "parameters": sorted(prepared.tracked),
        "checkpoints": [
            {
                "path": str(checkpoint.path),
                "sha256": checkpoint.sha256,
                "epoch": checkpoint.epoch,
                "learning_rate": learning_rate,
                **({"training": training + 1} if prepared.num_trainings > 1 else {}),
                **({"notes": list(checkpoint.notes)} if checkpoint.notes else {}),
            }
            for checkpoint, learning_rate, training in zip(
                prepared.checkpoints, prepared.learning_rates, prepared.trainings, strict=True
            )
        ],
        "store": {"path": prepared.store.path, "fingerprint": info.fingerprint, "skipped_lines": dict(info.skipped)},
        "num_training_triples": info.num_triples,
        "num_test_triples": 0 if prepared.test_triples is None else len(prepared.test_triples),
        "engine": str(plan.modes),
        "batch_size": plan.batch_size,
        "gradient_checkpointing": prepared.config.computing.gradient_checkpointing,
        "workers": plan.resources.num_workers,
        "threads_per_worker": plan.resources.threads_per_worker,
        **_about_masks(prepared),
        **({"groupings": [grouping.about() for grouping in prepared.groupings]} if prepared.groupings else {}),
    }


def about_curvature(scoring: ScoringOptions) -> dict[str, Any]:
    """State the curvature and its settings; empty without one."""
    if scoring.curvature == "none":
        return {}
    about: dict[str, Any] = {"curvature": scoring.curvature, "damping": scoring.settled_damping}
    if scoring.curvature == "landmarks":
        about |= {"landmarks": scoring.settled_landmarks, "landmarks_near": scoring.landmarks_near}
        about["landmarks_seed"] = scoring.landmarks_seed
    return about


def _about_masks(prepared: PreparedRun) -> dict[str, Any]:
    about = about_masks(prepared.store, prepared.config.masking)
    return {"masks": about} if about else {}


def one_or_all(values: Sequence[Stated]) -> Stated | list[Stated]:
    """Give the metadata of a single checkpoint, or a list for several."""
    return values[0] if len(values) == 1 else list(values)
