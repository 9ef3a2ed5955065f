"""The record of a run of the suite: what JSON holds, and the figures and curves read back from it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Curve, Figure, curves_of, figures_of
from benchmarks.requirements import Verdict, judge

SCHEMA_VERSION = 1
KEY = "tracin_dask"
"""Where the suite's own record lies in the JSON that pytest-benchmark writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one section measured, and on what."""

    name: str
    machine: Mapping[str, Any]
    is_quick: bool
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    facts: Mapping[str, Any]

    @property
    def gflops(self) -> float:
        """G, this machine's matrix product: the faster of before and after, since load only slows it."""
        return max(self.machine[when]["matrix_product_gflops"] for when in ("before", "after"))

    def verdicts(self) -> list[Verdict]:
        """Judge the figures by the requirements for this kind of device; those of a quick run are not judged."""
        return judge(self.figures, self.gflops, device=self.machine["device"], applies=not self.is_quick)


class ReportError(ValueError):
    """A file is no report of this suite."""


def complete(measured: Mapping[str, Any], *, settings: Mapping[str, Any], machine: Mapping[str, Any]) -> dict[str, Any]:
    """Add the suite's record to the JSON of pytest-benchmark, in which every section left its figures."""
    sections: dict[str, dict[str, Any]] = {}
    for entry in measured["benchmarks"]:
        name = section_of(entry["fullname"])
        section = sections.setdefault(name, {"figures": [], "curves": [], "facts": {}})
        found = entry.pop("extra_info")
        section["figures"] += found["figures"]
        section["curves"] += found["curves"]
        section["facts"][entry["name"]] = found["facts"]
    record = {"schema_version": SCHEMA_VERSION, "settings": settings, "machine": machine, "sections": sections}
    return {KEY: record, **measured}


def section_of(node_id: str) -> str:
    """Give the section of a benchmark's node id."""
    return Path(node_id.partition("::")[0]).stem.removeprefix("bench_")


def read_sections(paths: Iterable[Path]) -> list[Section]:
    """Read reports; a section of a later file replaces that of an earlier one.

    Raises
    ------
    ReportError
        If a file is no report.
    """
    found: dict[str, Section] = {}
    for path in paths:
        contents = json.loads(path.read_text())
        if contents.get(KEY, {}).get("schema_version") != SCHEMA_VERSION:
            raise ReportError(f"{path} is no report of scripts/bench --json (schema version {SCHEMA_VERSION})")
        found |= {section.name: section for section in sections_of(contents)}
    return list(found.values())


def sections_of(contents: Mapping[str, Any]) -> list[Section]:
    """Read the sections of one report."""
    record = contents[KEY]
    return [
        Section(
            name=name,
            machine=record["machine"],
            is_quick=record["settings"]["is_quick"],
            figures=tuple(figures_of(section)),
            curves=tuple(curves_of(section)),
            facts=section["facts"],
        )
        for name, section in record["sections"].items()
    ]


def all_curves(sections: Sequence[Section], plot: str) -> list[Curve]:
    """Give the curves of one plot, whatever section measured them."""
    return [curve for section in sections for curve in section.curves if curve.plot == plot]
