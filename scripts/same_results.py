"""`scripts/same_results`: whether small runs of every kind still find the same influences, bit for bit."""

import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import click
from same_runs.carry_out import Workshop, open_workshop
from same_runs.case import Case
from same_runs.cases import CASES
from same_runs.command import CommandError
from same_runs.earlier import record_at
from same_runs.findings import Findings
from same_runs.machine import commit_of_package, machine
from same_runs.recording import Recording, difference, other_machine, read_recording, write_recording

HASHES = Path(__file__).parents[1] / "tests" / "data" / "same_results.json"
REMEDY = "Bits depend on these, too: `scripts/same_results --against {}` first records that commit on this machine."


@click.command(context_settings={"max_content_width": 110})
@click.option("--only", multiple=True, metavar="PATTERN", help="Cases whose name matches, e.g. '*adam*'; repeatable.")
@click.option("--list", "is_list", is_flag=True, help="Print the cases and their options, and run none.")
@click.option("--record", is_flag=True, help="Write what the cases find as the file of hashes.")
@click.option("--against", metavar="COMMIT", help="Compare with this commit, recorded now on this machine.")
@click.option(
    "--hashes", type=click.Path(path_type=Path, dir_okay=False), default=HASHES, help="Another file of hashes."
)
def command(only: tuple[str, ...], against: str | None, hashes: Path, *, is_list: bool, record: bool) -> None:
    """Run small cases of `tracin-dask run`, and compare their influences, bit for bit, with recorded ones.

    Every case is a line in scripts/same_runs/cases.py. Exits with 1 if a case differs or fails. The package that
    `import tracin_dask` finds is run: PYTHONPATH chooses another one.
    """
    logging.disable(logging.WARNING)  # PyKEEN advises on training, and workers of a busy machine stop late
    cases = {name: case for name, case in CASES.items() if _is_chosen(name, only)}
    if not cases:
        raise click.UsageError(f"no case matches {' or '.join(only)}; --list names all")
    if is_list:
        _list(cases)
    elif record:
        _record(cases, hashes, is_part=bool(only))
    else:
        sys.exit(0 if _compare(cases, _recording(cases, hashes, against)) else 1)


def _is_chosen(name: str, only: tuple[str, ...]) -> bool:
    return not only or any(fnmatchcase(name, pattern) for pattern in only)


def _list(cases: Mapping[str, Case]) -> None:
    for name, case in cases.items():
        click.echo(f"{name:<40} {case.model}, {case.graph}, {case.tests} test triples, {case.place} {case.options}")


def _record(cases: Mapping[str, Case], hashes: Path, *, is_part: bool) -> None:
    """Carry out the cases and write what they found; all of them must succeed."""
    if is_part and hashes.exists():
        raise click.UsageError(f"{hashes} has other cases, too, which would be lost; give another --hashes FILE")
    found: dict[str, Findings] = {}
    with open_workshop() as workshop:
        for name, case in cases.items():
            found[name] = workshop.carry_out(name, case)
            click.echo(f"recorded   {name:<40} {found[name].engine}")
    write_recording(Recording(commit=commit_of_package(), machine=machine(), cases=found), hashes)
    click.echo(f"wrote {hashes}: {len(found)} cases")


def _recording(cases: Mapping[str, Case], hashes: Path, against: str | None) -> Recording:
    """Read the file of hashes, or record a commit."""
    if against is None:
        return read_recording(hashes)
    try:
        return record_at(against, list(cases))
    except subprocess.CalledProcessError as error:
        raise click.ClickException(f"commit {against} could not be recorded; the reason is above") from error


def _compare(cases: Mapping[str, Case], recording: Recording) -> bool:
    """Carry out the cases, and print for each whether it finds the same; tell whether all do."""
    others = other_machine(recording.machine, machine())
    advice = f"this machine is not that of the recording: {'; '.join(others)}. {REMEDY.format(recording.commit)}"
    if others:
        click.echo(advice)
    click.echo(f"{commit_of_package()} compared with {recording.commit}")
    num_same, started = 0, time.perf_counter()
    with open_workshop() as workshop:
        for name, case in cases.items():
            changed, engine = _changed(workshop, name, case, recording.cases.get(name))
            num_same += changed is None
            click.echo(f"same       {name:<40} {engine}" if changed is None else f"DIFFERENT  {name:<40} {changed}")
    click.echo(f"{num_same} of {len(cases)} cases are the same, {time.perf_counter() - started:.0f} s")
    if others and num_same < len(cases):
        click.echo(advice)
    return num_same == len(cases)


def _changed(workshop: Workshop, name: str, case: Case, then: Findings | None) -> tuple[str | None, str]:
    """Carry out a case; say what differs from the recording, None if nothing does, and which engine it used."""
    if then is None:
        return "is not in the recording; record it at a commit that is known to be right", ""
    try:
        now = workshop.carry_out(name, case)
    except CommandError as error:
        return f"failed: {error}", ""
    return difference(then, now), now.engine


if __name__ == "__main__":
    command()
