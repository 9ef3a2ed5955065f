"""`tracin-dask example`: the shipped graph, and the commands that it prints."""

import json
import shlex
from pathlib import Path

import pytest

from tracin_dask.errors import StoreError

UMLS = Path(__file__).parents[1] / "data" / "umls"


def test_example_writes_the_shipped_graph_and_prints_commands_that_explain_a_prediction(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = tool("example", "my graph").output
    written = {path.name: path.read_bytes() for path in (tmp_path / "my graph").iterdir()}
    assert written == {path.name: path.read_bytes() for path in UMLS.iterdir()}
    train, run = [shlex.split(line)[1:] for line in said.splitlines() if line.startswith("  tracin-dask ")]
    tool(*train, "--num-epochs", 1, "--output-channels", 4)
    assert "pharmacologic_substance" in tool(*run, "--threads-per-worker", 1).output
    result = json.loads((tmp_path / "my graph" / "why.json").read_text())
    assert len(result["influences"]) == 10


def test_example_leaves_a_folder_that_exists_as_it_is(tool, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StoreError, match="exists already; name a folder that does not exist"):
        tool("example", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
