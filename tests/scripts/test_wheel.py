"""The wheel: what is in it, and its command in an environment without the checkout."""

import os
import shlex
import site
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import tracin_dask

ROOT = Path(__file__).parents[2]
FOLDERS = {"tracin_dask": "tracin_dask", "cluster": "tracin_dask/cluster", "tests/data/umls": "tracin_dask/umls"}
"""Folders of the checkout, and where the wheel has them."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel with the build backend of this environment."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into a new environment, which sees the other packages of this one, but not the checkout."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=60)
    (packages,) = (venv / "lib").glob("python*/site-packages")
    (packages / "others.pth").write_text("".join(f"{folder}\n" for folder in site.getsitepackages()))
    install = [sys.executable, "-m", "pip", "--python", venv, "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(install, check=True, timeout=120)
    return venv


def in_checkout(folder: str) -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {path.removeprefix(f"{folder}/") for path in listed.splitlines() if (ROOT / path).exists()}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    expected = {f"{target}/{path}" for folder, target in FOLDERS.items() for path in in_checkout(folder)}
    assert {"tracin_dask/py.typed", "tracin_dask/cluster/slurm.yaml", "tracin_dask/umls/train.txt"} < expected
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_wheel_states_its_version_licence_pages_and_extras(wheel):
    archive = zipfile.ZipFile(wheel)
    (path,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(archive.read(path).decode())
    assert metadata["Version"] == tracin_dask.__version__
    assert metadata["License-Expression"] == "MIT"
    pages = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert pages.keys() == {"Repository", "Documentation", "Changelog", "Issues"}
    assert {"cuda", "jobqueue", "pykeen", "safetensors"} <= set(metadata.get_all("Provides-Extra"))
    assert "dev" not in metadata.get_all("Provides-Extra")


def test_the_installed_command_explains_a_prediction_from_an_empty_folder(installed, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "folder").mkdir()
    environment = {"HOME": str(tmp_path / "home"), "PATH": f"{installed}/bin:{os.defpath}", "OMP_NUM_THREADS": "1"}

    def call(*words: str) -> str:
        where = {"cwd": tmp_path / "folder", "env": environment}
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=300, **where).stdout

    assert call("python", "-c", "import tracin_dask; print(tracin_dask.__file__)").startswith(str(installed))
    assert call("tracin-dask", "--version") == f"tracin-dask, version {tracin_dask.__version__}\n"
    assert "wrote slurm.yaml" in call("tracin-dask", "cluster", "init", "slurm")
    said = call("tracin-dask", "example", "umls")
    train, run = [shlex.split(line) for line in said.splitlines() if line.startswith("  tracin-dask ")]
    call(*train, "--num-epochs", "1", "--output-channels", "4")
    assert "pharmacologic_substance" in call(*run)
