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
from tracin_dask.report.extend import can_be_extended, num_missing, unanswered
from tracin_dask.report.folder import SUMMARY, read_directory, refuse_earlier
from tracin_dask.report.formats import read_result, suffix_of, suffixes, write_result
from tracin_dask.report.group_file import write_groups
from tracin_dask.report.json import read_contents
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.prepare import PreparedRun, prepare
from tracin_dask.runs.sinks.saved_scores import are_all_there

IDENTITY, TESTS = "identity", "test_triples"
"""What the metadata of a run calls all that its result depends on, and among that the test triples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A result of the same command."""

    result: InfluenceResult
    found: tuple[Place, ...]
    """Where it lies whole."""
    written: tuple[Place, ...]
    """Files that do not say which run they are of, and were written from it."""


def finished_run(output: Outputs, identity: Mapping[str, Json]) -> Finished | None:
    """Find the result of the same command, if all files that hold it whole are there; others are written from it."""
    wholes = list(_wholes(output))
    if output.overwrite or not wholes or output.performance_report is not None or not all(map(exists, wholes)):
        return None
    found = [one for one in map(_read, wholes) if one is not None and _is_whole(one, identity)]
    if len(found) < len(wholes):
        return None
    result, others = found[0], [file for file in output.files if file not in wholes]
    for file in others:
        write_result(result, file)
    if output.save_groups is not None:
        write_groups(result, output.save_groups)
    return Finished(result=result, found=tuple(wholes), written=tuple(others))


def earlier_answers(
    output: Outputs, prepared: PreparedRun, identity: Mapping[str, Json], *, is_restart: bool
) -> InfluenceResult | None:
    """Find the result of the folder that this run only adds test triples to; a restart adds to none.

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
    other = dict(differences(run[IDENTITY], identity))
    if other.keys() == {TESTS} and not prepared.config.scoring.landmarks_near and not is_restart:
        earlier = _read_again(output.folder)
        if earlier is not None and can_be_extended(earlier) and _unanswered(prepared, earlier) is not None:
            return earlier
        other[TESTS] = _why_not_added(earlier, prepared)
    if other:
        reasons = "; ".join(f"{name.replace('_', ' ')}: {difference}" for name, difference in other.items())
        raise ResultError(
            f"{output.folder}: has the result of another run ({reasons}), which took {run['seconds']:,.0f} s; choose "
            "another folder, or pass --overwrite"
        )
    return None


def replaces_its_own(output: Outputs, identity: Mapping[str, Json]) -> bool:
    """Tell whether the folder has a result of the same command, of which a part is missing, or that is not wanted."""
    if output.folder is None or not exists(output.folder / SUMMARY):
        return False
    known: object = read_contents(output.folder / SUMMARY)["run"].get(IDENTITY)
    return known == identity


def for_others(prepared: PreparedRun, earlier: InfluenceResult) -> PreparedRun:
    """Prepare the run again, for the test triples that an earlier result lacks."""
    trainings = [
        [one for one, number in zip(prepared.checkpoints, prepared.trainings, strict=True) if number == training]
        for training in range(prepared.num_trainings)
    ]
    return prepare(prepared.store, trainings, _unanswered(prepared, earlier), config=prepared.config)


def _why_not_added(earlier: InfluenceResult | None, prepared: PreparedRun) -> str:
    """Say why test triples are not added to an earlier result."""
    if earlier is None:
        return "those then have answers that cannot be read"
    if not can_be_extended(earlier):
        return "those then have answers that cannot be added to"
    if prepared.test_triples is None:
        return "there are none now"
    fewer = num_missing(earlier, prepared.test_triples)
    return f"{fewer:,} of those then are not among those now" if fewer else "their order or number differs"


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


def _read_again(folder: Place) -> InfluenceResult | None:
    """Read the earlier answers, also where a run that adds to them was stopped while it wrote."""
    try:
        return read_directory(folder, is_same=_same_but_tests)
    except ResultError:
        return None


def _same_but_tests(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {name for name, _ in differences(one.get(IDENTITY, {}), other.get(IDENTITY, {}))} <= {TESTS}


def _is_whole(result: InfluenceResult, identity: Mapping[str, Json]) -> bool:
    run: Mapping[str, Any] = result.run
    scores = run.get("saved_scores")
    return run.get(IDENTITY) == identity and (scores is None or are_all_there(place_of(scores)))
