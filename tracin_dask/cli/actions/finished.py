"""A result that the same command would compute again, or add test triples to: it is found by its identity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy import ndarray

from tracin_dask.cli.actions.outputs import Outputs
from tracin_dask.errors import ResultError
from tracin_dask.identity import Json, differences
from tracin_dask.places.files import exists
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.report.extend import can_be_extended, unanswered
from tracin_dask.report.folder import SUMMARY, refuse_earlier
from tracin_dask.report.formats import read_result, suffix_of, suffixes
from tracin_dask.report.json import read_contents
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.identity import result_identity
from tracin_dask.runs.prepare import PreparedRun, prepare

IDENTITY, TESTS = "identity", "test_triples"
"""What the metadata of a run calls all that its result depends on, and among that the test triples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A result of the same command."""

    result: InfluenceResult
    paths: tuple[Place, ...]
    """Where it lies."""


def finished_run(output: Outputs, identity: Mapping[str, Json]) -> Finished | None:
    """Find the result of the same command, if all of its files are there."""
    wholes = list(_wholes(output))
    asked = [*wholes, *output.files, *([] if output.save_groups is None else [output.save_groups])]
    if output.overwrite or not wholes or output.performance_report is not None or not all(map(exists, asked)):
        return None
    found = [one for one in map(_read, wholes) if one is not None and _is_whole(one, identity)]
    return Finished(result=found[0], paths=tuple(dict.fromkeys(asked))) if len(found) == len(wholes) else None


def earlier_answers(output: Outputs, prepared: PreparedRun) -> InfluenceResult | None:
    """Find the result of the folder that this run only adds test triples to.

    Raises
    ------
    ResultError
        If the folder has another result, which is not to be overwritten.
    """
    if output.folder is None or output.overwrite or not exists(output.folder / SUMMARY):
        return None
    run = read_contents(output.folder / SUMMARY)["run"]
    if IDENTITY not in run:
        refuse_earlier(output.folder)
        return None
    other = dict(differences(run[IDENTITY], result_identity(prepared)))
    if other.keys() == {TESTS} and not prepared.config.scoring.landmarks_near:
        earlier = _read(output.folder / SUMMARY)
        if earlier is not None and can_be_extended(earlier) and _unanswered(prepared, earlier) is not None:
            return earlier
        other[TESTS] = "those then are not among those now, or have answers that cannot be added to"
    if other:
        reasons = "; ".join(f"{name.replace('_', ' ')}: {difference}" for name, difference in other.items())
        raise ResultError(
            f"{output.folder}: has the result of another run ({reasons}), which took {run['seconds']:,.0f} s; choose "
            "another folder, or pass --overwrite"
        )
    return None


def replaces_its_own(output: Outputs, prepared: PreparedRun) -> bool:
    """Tell whether the folder has a result of the same command, of which a part is missing, or that is not wanted."""
    if output.folder is None or not exists(output.folder / SUMMARY):
        return False
    known: object = read_contents(output.folder / SUMMARY)["run"].get(IDENTITY)
    return known == result_identity(prepared)


def for_others(prepared: PreparedRun, earlier: InfluenceResult) -> PreparedRun:
    """Prepare the run again, for the test triples that an earlier result lacks."""
    trainings = [
        [one for one, number in zip(prepared.checkpoints, prepared.trainings, strict=True) if number == training]
        for training in range(prepared.num_trainings)
    ]
    return prepare(prepared.store, trainings, _unanswered(prepared, earlier), config=prepared.config)


def _unanswered(prepared: PreparedRun, earlier: InfluenceResult) -> ndarray | None:
    return None if prepared.test_triples is None else unanswered(earlier, prepared.test_triples)


def _wholes(output: Outputs) -> Iterator[Place]:
    """Name what can be read back whole: only that says which run it is of."""
    if output.folder is not None:
        yield output.folder / SUMMARY
    yield from (file for file in output.files if suffix_of(file) in suffixes(whole=True))


def _read(place: Place) -> InfluenceResult | None:
    """Read a result; None for one that cannot be read: it is written again."""
    try:
        return read_result(place.parent if place.name == SUMMARY else place)
    except ResultError:
        return None


def _is_whole(result: InfluenceResult, identity: Mapping[str, Json]) -> bool:
    run: Mapping[str, Any] = result.run
    scores = run.get("saved_scores")
    return run.get(IDENTITY) == identity and (scores is None or place_of(scores).is_folder())
