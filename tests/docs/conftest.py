"""The folder that the pages' examples run in."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent))  # last: `conftest` is the one of all rooms

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
