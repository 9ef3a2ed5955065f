"""Versions that are stated in several places agree."""

import datetime as dt
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import tracin_dask

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, GROUPS = PYPROJECT["project"], PYPROJECT["dependency-groups"]


def pins(file: str) -> dict[str, Version]:
    """Read a file of constraints: each is `name==version`."""
    lines = [line for line in (ROOT / file).read_text().splitlines() if not line.startswith("#")]
    return {name: Version(version) for name, version in (line.split("==") for line in lines)}


def lowest(requirement: Requirement) -> Version:
    """Give the version after >= or ==."""
    (found,) = [Version(one.version) for one in requirement.specifier if one.operator in (">=", "==")]
    return found


def test_the_lowest_versions_that_are_tested_are_the_lower_bounds_of_the_package_and_its_extras():
    extras = PROJECT["optional-dependencies"]
    with_tests = ("gateway", "jobqueue", "objects", "pykeen", "safetensors")
    stated = [*PROJECT["dependencies"], *(one for name in with_tests for one in extras[name])]
    bounds = {requirement.name: lowest(requirement) for requirement in map(Requirement, stated)}
    tested = pins("constraints-lowest.txt")
    assert tested.keys() == bounds.keys()
    assert tested == bounds


def test_the_versions_that_ci_installs_are_allowed():
    requirements = {one.name: one for one in map(Requirement, PROJECT["dependencies"])}
    for name, version in pins("constraints.txt").items():
        assert name not in requirements or version in requirements[name].specifier


def test_every_python_that_the_classifiers_name_is_tested_by_the_workflow_and_by_nox():
    named = [line.rsplit(" ", 1)[1] for line in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", line)]
    assert PROJECT["requires-python"] == f">={named[0]}"
    listed = ", ".join(f'"{version}"' for version in named)
    assert f"python: [{listed}]" in (ROOT / ".github/workflows/test.yml").read_text()
    assert f'parametrize("python", [{listed}])' in (ROOT / "noxfile.py").read_text()


def test_the_changelog_begins_with_what_is_unreleased_and_the_dated_version_of_the_package():
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    releases = [re.fullmatch(r"(\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)", heading) for heading in headings[1:]]
    assert all(releases), headings
    versions = [Version(release[1]) for release in releases]
    dates = [dt.date.fromisoformat(release[2]) for release in releases]
    assert str(versions[0]) == tracin_dask.__version__
    assert versions == sorted(versions, reverse=True)
    assert dates == sorted(dates, reverse=True)


@pytest.mark.parametrize("script", ["check", "test", "test_versions", "try_wheel"])
def test_scripts_that_workflows_and_nox_call_can_be_run(script):
    assert (ROOT / "scripts" / script).stat().st_mode & 0o111


def test_the_script_that_tries_the_wheel_builds_with_the_pinned_builder():
    (pinned,) = [one for one in GROUPS["test"] if str(one).startswith("build==")]
    assert f" {pinned} " in (ROOT / "scripts/try_wheel").read_text()


def test_the_group_that_builds_the_site_has_the_formatter_of_its_signatures():
    assert {"include-group": "format"} in GROUPS["docs"]
    assert {"include-group": "format"} in GROUPS["lint"]
    assert [Requirement(one).name for one in GROUPS["format"]] == ["ruff"]
