"""The file of hashes: what each case found at one commit on one machine, and how new findings differ from it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from same_runs.findings import Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the cases found, by their names."""

    commit: str
    machine: dict[str, str]
    cases: Mapping[str, Findings]


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recording as JSON."""
    path.write_text(json.dumps(asdict(recording), indent=1) + "\n", encoding="utf-8")


def read_recording(path: Path) -> Recording:
    """Read a recording."""
    contents: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    cases = {name: Findings(**findings) for name, findings in contents["cases"].items()}
    return Recording(commit=contents["commit"], machine=contents["machine"], cases=cases)


def difference(then: Findings, now: Findings) -> str | None:
    """Say how findings differ from recorded ones; None if all bits are equal."""
    parts = [part for part in then.hashes | now.hashes if then.hashes.get(part) != now.hashes.get(part)]
    if not parts:
        return None
    told = f"other {' and '.join(parts)}; top influence {then.top} then, {now.top} now"
    if then.engine != now.engine:
        told += f"; engine then: {then.engine}; now: {now.engine}"
    return told


def other_machine(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """List how this machine differs from that of a recording."""
    return [
        f"{name} was {then.get(name)}, is {now.get(name)}" for name in then | now if then.get(name) != now.get(name)
    ]
