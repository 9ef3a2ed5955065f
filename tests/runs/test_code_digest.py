"""Finished work is tied to the source code that computed it, wherever this is installed."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import tracin_dask
from tracin_dask.errors import ResumeError
from tracin_dask.runs.code_digest import SCORING_SOURCES, digest_of_sources, scoring_code_digest

PACKAGE = Path(tracin_dask.__file__).parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the package's source files."""
    return shutil.copytree(PACKAGE, tmp_path / "tracin_dask", ignore=shutil.ignore_patterns("__pycache__"))


def test_a_copy_of_the_package_has_the_same_digest(copy: Path):
    assert digest_of_sources(copy) == digest_of_sources(PACKAGE) == scoring_code_digest()


def test_newlines_of_windows_and_compiled_files_change_nothing(copy: Path):
    for path in copy.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    cached = copy / "influence" / "__pycache__"
    cached.mkdir()
    (cached / "losses.cpython-311.pyc").write_bytes(b"compiled")
    assert digest_of_sources(copy) == scoring_code_digest()


@pytest.mark.parametrize("folder", [source for source in SCORING_SOURCES if not source.endswith(".py")])
def test_a_changed_an_added_and_a_renamed_file_change_the_digest(copy: Path, folder: str):
    digests = {digest_of_sources(copy)}
    path = max((copy / folder).rglob("*.py"), key=lambda path: path.stat().st_size)
    path.write_text(path.read_text() + "\n")
    digests.add(digest_of_sources(copy))
    (copy / folder / "added.py").write_text("")
    digests.add(digest_of_sources(copy))
    path.rename(path.with_name("renamed.py"))
    digests.add(digest_of_sources(copy))
    assert len(digests) == 4


def test_a_changed_file_outside_of_these_folders_changes_the_digest(copy: Path):
    (single,) = (source for source in SCORING_SOURCES if source.endswith(".py"))
    (copy / single).write_text((copy / single).read_text() + "\n")
    assert digest_of_sources(copy) != scoring_code_digest()


def test_files_that_compute_no_scores_do_not_count(copy: Path):
    (copy / "cli" / "run.py").write_text("")
    (copy / "report" / "table.py").unlink()
    assert digest_of_sources(copy) == scoring_code_digest()


def test_a_package_in_a_zip_file_has_the_same_digest(tmp_path: Path):
    packed = tmp_path / "tracin_dask.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in PACKAGE.rglob("*.py"):
            archive.write(path, path.relative_to(PACKAGE.parent))
    program = "from tracin_dask.runs import code_digest as c; print(c.__file__, c.scoring_code_digest())"
    command, environment = [sys.executable, "-c", program], {"PYTHONPATH": str(packed)}
    done = subprocess.run(command, check=True, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    where, digest = done.stdout.decode().split()
    assert where.startswith(str(packed))
    assert digest == scoring_code_digest()


def test_a_package_without_sources_is_refused_with_the_reason(copy: Path):
    for path in (copy / "influence").rglob("*.py"):
        path.rename(path.with_suffix(".pyc"))
    with pytest.raises(ResumeError, match=r"has no source files \(\.py\) in influence, so finished work"):
        digest_of_sources(copy)
