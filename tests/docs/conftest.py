"""The folders that the examples of the pages and of the help texts run in."""

import shutil
import sys
from pathlib import Path

import jaxtyping
import pytest
import torch

sys.path.append(str(Path(__file__).parent))  # last: `conftest` is the one of all rooms

from made_folder import make_folder
from pages import ROOT

import tracin_dask
from tracin_dask.models.conve.model import ConvE, ConvEConfig

UMLS = ROOT / "tests" / "data" / "umls"
SIZES = {"embedding_dim": 32, "embedding_height": 8, "embedding_width": 4}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with the files that the pages name: graph, id maps, groups, checkpoints."""
    for name in ("train.txt", "test.txt"):
        shutil.copy(UMLS / name, tmp_path)
    tracin_dask.ingest(tmp_path / "train.txt", tmp_path / "graph.zarr")
    for kind in ("entity", "relation"):
        (tmp_path / f"graph.{kind}_to_id.tsv").rename(tmp_path / f"{kind}_to_id.tsv")
    lines = (tmp_path / "train.txt").read_text().splitlines()
    grouped = "".join(f"{line}\tsource {number % 3}\n" for number, line in enumerate(lines))
    (tmp_path / "sources.tsv").write_text(grouped)
    _save_checkpoints(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _save_checkpoints(folder: Path) -> None:
    model = ConvE(ConvEConfig(num_entities=135, num_relations=46, **SIZES))
    torch.save({"model_state_dict": model.state_dict(), "model_config": SIZES}, folder / "model.pt")
    (folder / "checkpoints").mkdir()
    for epoch in range(2):
        model.initialize()
        contents = {"model_state_dict": model.state_dict(), "model_config": SIZES, "epoch": epoch}
        torch.save(contents, folder / "checkpoints" / f"checkpoint_epoch_{epoch + 1}.pt")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the files once."""
    folder = tmp_path_factory.mktemp("made") / "folder"
    folder.mkdir()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the calls are those of the tests
        make_folder(folder)
    return folder


@pytest.fixture
def page_folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a copy of the files, with a cache of its own."""
    folder = tmp_path / "folder"
    shutil.copytree(made, folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # other tests check the shapes of the same calls
    monkeypatch.chdir(folder)
    return folder
