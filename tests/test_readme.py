"""The README's Python runs as it stands, and its commands name options that exist."""

import re
import shutil
from pathlib import Path

import click
import pytest
import torch

import tracin_dask
from tracin_dask.cli.main import COMMANDS, group
from tracin_dask.models.conve.model import ConvE, ConvEConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
UMLS = ROOT / "tests" / "data" / "umls"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Give a folder with the files that the README's Python names."""
    shutil.copy(UMLS / "train.txt", tmp_path)
    tracin_dask.ingest(tmp_path / "train.txt", tmp_path / "made.zarr")
    for kind in ("entity", "relation"):
        (tmp_path / f"made.{kind}_to_id.tsv").rename(tmp_path / f"{kind}_to_id.tsv")
    lines = (tmp_path / "train.txt").read_text().splitlines()
    (tmp_path / "sources.tsv").write_text(
        "".join(f"{line}\tsource {number % 3}\n" for number, line in enumerate(lines))
    )
    sizes = {"embedding_dim": 32, "embedding_height": 8, "embedding_width": 4}
    model = ConvE(ConvEConfig(num_entities=135, num_relations=46, **sizes))
    torch.save({"model_state_dict": model.state_dict(), "model_config": sizes}, tmp_path / "model.pt")
    (tmp_path / "checkpoints").mkdir()
    for epoch in range(2):
        model.initialize()
        contents = {"model_state_dict": model.state_dict(), "model_config": sizes, "epoch": epoch}
        torch.save(contents, tmp_path / "checkpoints" / f"checkpoint_epoch_{epoch + 1}.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# PyKEEN asks for pinned memory on machines without a GPU, too
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true:UserWarning")
def test_the_python_of_the_readme_runs_in_order(folder):
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - the project's own text
    assert len(names["table"]) == 10
    assert (folder / "why.json").exists()
    assert len(names["layers"].rankings) == 2
    assert len(names["summed"].to_dict()["influences"][0]["influence_by_checkpoint"]) == 2
    assert names["contrasted"].to_dict()["contrast"]["tail"] == 7
    assert names["line"] == names["saved"].rankings[1].train_index[0]
    assert names["totals"].groupby("group_by").num_training_triples.sum().nunique() == 1
    assert set(names["totals"].group_by) == {"relation", "sources.tsv"}
    assert names["spread"].rankings[0].train_index.shape == (10,)
    assert names["margin"].run["loss"] == "margin"
    assert names["own"].run["model"] == "__main__:Bilinear(dim=16)"
    assert len(names["own"].rankings[0]) == 10
    assert (folder / "graph" / "train.txt").read_bytes() == (folder / "nations" / "train.txt").read_bytes()
    trained = tracin_dask.load_checkpoint(folder / "nations" / "checkpoints" / "checkpoint_epoch_10.pt")
    assert trained.config.num_relations == names["trained"].model.num_relations == 110


def test_every_option_that_the_readme_names_exists():
    context = click.Context(group)
    commands = [group.get_command(context, name) for name in COMMANDS]
    known = {option for command in commands for parameter in command.params for option in parameter.opts}
    known |= {option for command in commands for parameter in command.params for option in parameter.secondary_opts}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--help", "--nthreads", "--loss"}
    assert named - known == set()
