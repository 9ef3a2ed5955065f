"""What the project asks of its own speed, stated once, and the judgement of measured figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Figure
from benchmarks.settings import Device

Relation = Literal["at least", "at most", "less than"]
_SIGNS = {"at least": "≥", "at most": "≤", "less than": "<"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A bound of one figure's median, where it was measured with a device.

    `per_gflops` multiplies the bound by G, this machine's matrix product in GFLOP/s.
    """

    figure: str
    relation: Relation
    bound: float
    per_gflops: bool = False
    device: Device = "cpu"

    def limit(self, gflops: float) -> float:
        """Give the bound on a machine."""
        return self.bound * gflops if self.per_gflops else self.bound

    def is_met(self, figure: Figure, gflops: float) -> bool:
        """Compare a figure's median with the bound."""
        limit = self.limit(gflops)
        if self.relation == "at least":
            return figure.median >= limit
        return figure.median <= limit if self.relation == "at most" else figure.median < limit

    def text(self, gflops: float) -> str:
        """Say what is required."""
        sign = _SIGNS[self.relation]
        if not self.per_gflops:
            return f"{sign} {self.bound:,.12g}"
        return f"{sign} {self.bound:,.12g}·G = {self.limit(gflops):,.0f}"


def _engine(num_tests: int, *, times_loop: float, per_gflops: float, counts: str) -> list[Requirement]:
    prefix = f"engine.t{num_tests}"
    return [
        Requirement(figure=f"{prefix}.ratio", relation="at least", bound=times_loop),
        Requirement(figure=f"{prefix}.{counts}_per_second", relation="at least", bound=per_gflops, per_gflops=True),
        Requirement(figure=f"{prefix}.mixed.ratio", relation="at least", bound=1.0),
        Requirement(figure=f"{prefix}.mixed.overlap", relation="at least", bound=0.95),
    ]


CALLED = (
    *("bce_t1", "bce_t16", "bce_t256", "forward", "rows", "heads", "one_to_all", "slcwa", "fc", "score"),
    *("cosine", "cosine_t1", "one_to_all_cosine", "slcwa_cosine", "rows_curvature"),
    *("one_to_all_curvature", "landmarks", "retraining", "self", "one_to_all_self", "slcwa_self"),
    *("per_relation", "groups", "masked", "ranks", "saved", "adam", "mixed", "recomputed"),
    *("distmult", "tucker", "tucker_slcwa", "tucker_cosine", "tucker_self"),
    *("tucker_one_to_all", "tucker_one_to_all_cosine", "tucker_one_to_all_self"),
)
"""The ways of computing whose calls are counted, by the names of their figures."""


WAITS = {"saved": 2}
"""Waits of a way that hands every influence to the host: all scores are looked at there, and written."""
RATIOS = {"retraining": 1.1}
"""Of a way whose passes have other batches in both graphs: those of training triples that touch test triples."""


def _calls(name: str) -> list[Requirement]:
    prefix = f"calls.{name}"
    return [
        *(
            Requirement(figure=f"{prefix}.{graph}", relation="at most", bound=300)
            for graph in ("one_head", "every_head")
        ),
        Requirement(figure=f"{prefix}.ratio", relation="at most", bound=RATIOS.get(name, 1.05)),
        Requirement(figure=f"{prefix}.copies", relation="at most", bound=1),
        Requirement(figure=f"{prefix}.waits", relation="at most", bound=WAITS.get(name, 0)),
    ]


def _on_gpu(figure: str, relation: Relation, bound: float) -> Requirement:
    return Requirement(figure=figure, relation=relation, bound=bound, device="cuda")


PLANNED_ON_GPU = (
    *(f"engine.t{number}" for number in (1, 16, 256, 1024)),
    *(f"losses.{loss}.t{number}" for loss in ("one-to-all", "slcwa") for number in (1, 16)),
    *(f"models.{model}.t{number}" for model in ("distmult", "rotate", "tucker") for number in (1, 16)),
)
"""Runs on a GPU whose planned bytes are compared with the device's peak."""
GPU_REQUIREMENTS: Sequence[Requirement] = (
    _on_gpu("engine.t1.triples_per_second", "at least", 6e6),
    _on_gpu("engine.t16.triples_per_second", "at least", 2e6),
    _on_gpu("engine.t256.triples_per_second", "at least", 1e6),
    _on_gpu("engine.t256.busy", "at least", 0.6),
    _on_gpu("losses.one-to-all.t16.triples_per_second", "at least", 2e6),
    *(_on_gpu(f"{run}.plan_per_peak", "at most", 1.3) for run in PLANNED_ON_GPU),
    _on_gpu("robokop.t750.seconds", "at most", 15),
    _on_gpu("robokop.t1.seconds", "at most", 8),
)
"""Of a card like an H100. They are aims: the project has measured none of these figures yet."""
REQUIREMENTS: Sequence[Requirement] = (
    *(requirement for name in CALLED for requirement in _calls(name)),
    *_engine(1, times_loop=1_000, per_gflops=600, counts="triples"),
    *_engine(16, times_loop=500, per_gflops=150, counts="triples"),
    *_engine(256, times_loop=4_000, per_gflops=30_000, counts="pairs"),
    Requirement(figure="engine.t1.mixed.spearman", relation="at least", bound=0.999),
    Requirement(figure="engine.t16.mixed.spearman", relation="at least", bound=0.999),
    Requirement(figure="losses.one-to-all.t16.triples_per_second", relation="at least", bound=3_000),
    Requirement(figure="losses.umls.seconds", relation="at most", bound=120),
    Requirement(figure="train.calls.step", relation="at most", bound=120),
    Requirement(figure="train.calls.step_ratio", relation="at most", bound=1),
    Requirement(figure="train.calls.step_waits", relation="at most", bound=0),
    Requirement(figure="train.calls.ranks", relation="at most", bound=60),
    Requirement(figure="train.calls.ranks_ratio", relation="at most", bound=1),
    Requirement(figure="train.calls.ranks_waits", relation="at most", bound=1),
    Requirement(figure="trainings.all.seconds", relation="at most", bound=300),
    Requirement(figure="robokop.ingest.seconds", relation="at most", bound=90),
    Requirement(figure="robokop.ingest.peak", relation="less than", bound=3),
    Requirement(figure="robokop.t750.seconds", relation="at most", bound=360),
    Requirement(figure="robokop.t750.peak", relation="less than", bound=5),
    Requirement(figure="robokop.t750_mixed.seconds", relation="at most", bound=240),
    Requirement(figure="robokop.t750_mixed.peak", relation="less than", bound=5),
    Requirement(figure="robokop.t1.seconds", relation="at most", bound=60),
    Requirement(figure="robokop.t1.peak", relation="less than", bound=5),
    Requirement(figure="scaling.t1.deviation", relation="at most", bound=0.10),
    Requirement(figure="scaling.t100.deviation", relation="at most", bound=0.10),
    Requirement(figure="dask.share", relation="at most", bound=0.05),
    Requirement(figure="dask.two_workers", relation="at least", bound=1.7),
    Requirement(figure="start.first_result", relation="at most", bound=8),
    Requirement(figure="start.help", relation="less than", bound=0.5),
    *GPU_REQUIREMENTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A figure beside what is required of it; without a requirement, or where none applies, `met` is None."""

    figure: Figure
    required: str
    met: bool | None


def judge(
    figures: Sequence[Figure],
    gflops: float,
    *,
    device: Device,
    applies: bool,
    requirements: Sequence[Requirement] = REQUIREMENTS,
) -> list[Verdict]:
    """Put every figure beside what is required of it on the device that it was measured with.

    With `applies` false, the requirements are named, not judged.

    Raises
    ------
    ValueError
        If two figures carry one name.
    """
    names = [figure.name for figure in figures]
    if len(set(names)) < len(names):
        raise ValueError(f"figures of the same name: {sorted({name for name in names if names.count(name) > 1})}")
    wanted: Mapping[str, Requirement] = {one.figure: one for one in requirements if one.device == device}
    return [_verdict(figure, wanted.get(figure.name), gflops, applies=applies) for figure in figures]


def _verdict(figure: Figure, requirement: Requirement | None, gflops: float, *, applies: bool) -> Verdict:
    if requirement is None:
        return Verdict(figure=figure, required="", met=None)
    met = requirement.is_met(figure, gflops) if applies else None
    return Verdict(figure=figure, required=requirement.text(gflops), met=met)
