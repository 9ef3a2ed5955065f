"""The benchmark suite on a tiny graph; needs scripts/ on the path."""

import json
from pathlib import Path

from benchmarks import command, report
from benchmarks.requirements import REQUIREMENTS
from benchmarks.settings import Device, ModelSize, Settings, Sizes

TINY = Sizes(
    num_entities=40,
    num_relations=4,
    num_triples=400,
    model=ModelSize(height=4, width=6),
    rows={1: 200, 16: 100, 256: 50, 1024: 50},
    loop_rows={1: 2, 16: 2, 256: 1},
    agreement_tests=2,
    matrix_sizes=(64,),
)


def required(section: str, device: Device = "cpu") -> set[str]:
    """Name the figures of a section that have a requirement on a device."""
    found = {requirement.figure for requirement in REQUIREMENTS if requirement.device == device}
    return {name for name in found if name.startswith(f"{section}.")}


def measured(section: str, folder: Path, repeats: int = 2, device: Device = "cpu") -> dict:
    """Measure one section; gives the report as it is written."""
    settings = Settings(
        sections=(section,),
        device=device,
        threads=1,
        repeats=repeats,
        is_quick=True,
        sizes=TINY,
        graph=folder / "unused",
        scratch=folder,
    )
    contents, is_complete = command.measure(settings)
    assert is_complete
    return contents


def measured_section(section: str, folder: Path, repeats: int = 2, device: Device = "cpu") -> report.Section:
    """Measure one section and read it as from its file."""
    (found,) = report.sections_of(json.loads(json.dumps(measured(section, folder, repeats, device))))
    return found
