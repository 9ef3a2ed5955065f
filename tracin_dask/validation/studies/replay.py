"""Replay: the exact effects along a recorded training, as a ceiling for methods that only see its checkpoints."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.places.explained import writing
from tracin_dask.places.files import read_bytes, write_bytes
from tracin_dask.places.registry import place_of
from tracin_dask.validation.folder import digest_of_json
from tracin_dask.validation.influences import Explained, Influences
from tracin_dask.validation.models import Bench, full_trainings
from tracin_dask.validation.replay.effects import Effects, Replayed, agreement, replay
from tracin_dask.validation.seeds import seed_for
from tracin_dask.validation.statistics import mean_with_interval, rank_correlations
from tracin_dask.validation.studies.lds import SubsetPlan, table_of
from tracin_dask.validation.study import Study
from tracin_dask.validation.table import Row, StudyTable

REPLAY = "replay"
TESTS_AT_A_TIME = 25
"""Test triples of one task."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """Effects that are held in memory: graphs that can be replayed are small."""

    effects: Float[ndarray, "test row"]

    def read(self, start: int, stop: int) -> Float[ndarray, "test row"]:
        """Give those of some rows."""
        return self.effects[:, start:stop]


def replay_study(study: Study, plan: SubsetPlan | None = None, *, quantity: str = "margin") -> StudyTable:
    """Score the replay of a training, and all methods, by random subsets; raises as `lds`."""
    plan = plan or SubsetPlan()
    study.claim("replay", quantity=quantity)
    tests = study.graph.sample(plan.num_tests, study.seed)
    bench = study.bench(tests)
    full = full_trainings(study.num_explained, study.seed, study.settings.num_epochs, study.checkpoint_epochs)
    bench.measured([*full, *plan.every_training(study.seed)])
    replayed = Replayed(material=bench.material, seed=full[0].seed, quantity=quantity)
    effects = _all_effects(bench, replayed, tests)
    explained = Explained(bench=bench, store=study.graph.store, tests=tests, trainings=full, seed=study.seed)
    explained.write_question()
    found = [(method.name, explained.by(method)) for method in study.methods]
    table = table_of(study, plan, explained, [(REPLAY, Kept(effects=effects.effects)), *found])
    note = (
        f"replay of {quantity}: effects of all training triples add up to the change by the training within "
        f"{agreement(effects):.1%}"
    )
    return StudyTable(
        title="Replay of a training, and methods that see its checkpoints (LDS)",
        rows=(*table.rows, *_likeness(study, effects, found)),
        notes=(*table.notes, note),
        about=table.about,
    )


def _likeness(study: Study, effects: Effects, found: Sequence[tuple[str, Influences]]) -> list[Row]:
    """Correlate the influences of each method with the effects, over the training triples."""
    seed, num_rows = seed_for(study.seed, "bootstrap"), effects.effects.shape[1]
    return [
        Row(
            method=name,
            measure="likeness",
            estimate=mean_with_interval(rank_correlations(influences.read(0, num_rows), effects.effects), seed=seed),
        )
        for name, influences in found
    ]


def _all_effects(bench: Bench, replayed: Replayed, tests: Int[ndarray, "test 3"]) -> Effects:
    """Replay for all test triples, those that are not finished."""
    parts = [tests[start : start + TESTS_AT_A_TIME] for start in range(0, len(tests), TESTS_AT_A_TIME)]
    paths = [_path(bench, replayed, part) for part in parts]
    missing = [index for index, path in enumerate(paths) if not path.is_file()]
    if missing:
        bench.workers.say(f"replaying {len(missing)} of {len(parts)} groups of test triples")
    for index, effects in bench.workers.each(replay, replayed, [parts[index] for index in missing]):
        _write(paths[missing[index]], effects)
    found = [_read(path) for path in paths]
    return Effects(
        effects=np.concatenate([one.effects for one in found]), change=np.concatenate([one.change for one in found])
    )


def _path(bench: Bench, replayed: Replayed, tests: Int[ndarray, "test 3"]) -> Path:
    full = full_trainings(1, 0, bench.material.settings.num_epochs)[0]
    about = [bench.material.key(full), replayed.seed, replayed.quantity, tests.tolist()]
    return bench.folder.path / "replays" / f"{digest_of_json(about)}.npz"


def _write(path: Path, effects: Effects) -> None:
    file = io.BytesIO()
    np.savez(file, effects=effects.effects.astype(np.float32), change=effects.change)
    with writing(path, "a replay", kept=lambda: "finished replays are kept"):
        place_of(path.parent).make_folder()
        write_bytes(path, file.getvalue())


def _read(path: Path) -> Effects:
    with np.load(io.BytesIO(read_bytes(path)), allow_pickle=False) as arrays:
        return Effects(effects=arrays["effects"].astype(np.float64), change=arrays["change"])
