"""The measured speed of the last runs on this machine, by which `plan` estimates how long a run takes."""

import json
import logging
import os
import re
import socket
from dataclasses import dataclass
from typing import Any

from tracin_dask.errors import TracInDaskError
from tracin_dask.influence.preconditioners.registry import name_of
from tracin_dask.places.files import read_bytes, write_json_file
from tracin_dask.places.place import Place
from tracin_dask.report.result import InfluenceResult
from tracin_dask.runs.plan.plan import Plan, device_bytes
from tracin_dask.runs.prepare import PreparedRun

FILE = "speed.json"
"""Its name in --cache-dir."""
OPT_OUT = "TRACIN_DASK_NO_SPEED"
"""With this variable set to any text, no speed is recorded or used."""
LEAST_SECONDS = 0.5
"""A run that scores for a shorter time says little of its speed, and is not recorded."""
MOST_RECORDS = 50
_FORMAT = {"format": "tracin-dask speed", "format_version": 1}
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """The time that scoring took on this machine, divided by the time that the cost model predicts."""

    factor: float
    measured: str
    """When the run started."""


def record_speed(cache: Place, prepared: PreparedRun, plan: Plan, result: InfluenceResult) -> None:
    """Record the speed of a run; a folder that cannot be written is no reason to fail."""
    statistics = result.run["statistics"]
    seconds = float(statistics["task_seconds"])
    if os.environ.get(OPT_OUT) or statistics["resumed_rows"] or seconds < LEAST_SECONDS or plan.worker_seconds <= 0:
        return
    device = "cpu" if result.run["device"] == "cpu" else "gpu"
    record = {"factor": seconds / plan.worker_seconds, "measured": result.run["started"]}
    try:
        others = _records(cache)
        others.pop(_key(prepared, plan, device), None)
        kept = dict([*others.items(), (_key(prepared, plan, device), record)][-MOST_RECORDS:])
        write_json_file(cache / FILE, {**_FORMAT, "runs": kept})
    except (OSError, TracInDaskError) as error:
        logger.debug("the speed of this run is not recorded: %s", error)


def recorded_speed(cache: Place, prepared: PreparedRun, plan: Plan) -> Speed | None:
    """Find the speed of the last run of this kind on this machine; None if there is none.

    Of one kind are runs with the same engine, precision, loss, and what influences are divided by.
    """
    if os.environ.get(OPT_OUT):
        return None
    device = "cpu" if device_bytes(prepared.config, plan.resources) is None else "gpu"
    found = _records(cache).get(_key(prepared, plan, device))
    try:
        return None if found is None else Speed(factor=float(found["factor"]), measured=str(found["measured"]))
    except (KeyError, TypeError, ValueError):
        return None


def _key(prepared: PreparedRun, plan: Plan, device: str) -> str:
    """Name the kind of a run; numbers in its modes depend on its size."""
    scoring = prepared.config.scoring
    way = (re.sub(r"\d+", "N", str(plan.modes)), type(scoring.loss).__name__, scoring.normalize, scoring.curvature)
    return " | ".join(
        [socket.gethostname(), device, prepared.config.computing.precision, *way, name_of(scoring.preconditioner)]
    )


def _records(cache: Place) -> dict[str, Any]:
    """Read what is recorded; a file that is damaged has nothing."""
    place = cache / FILE
    if not place.is_file():
        return {}
    try:
        contents = json.loads(read_bytes(place))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(contents, dict) and _FORMAT.items() <= contents.items()
    return contents["runs"] if is_ours and isinstance(contents.get("runs"), dict) else {}
