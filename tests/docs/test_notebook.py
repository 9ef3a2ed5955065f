"""The example notebook runs as it stands, and shows what it gives."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from pages import ROOT, anchors

NOTEBOOK = ROOT / "docs" / "example.ipynb"
UMLS = ROOT / "tests" / "data" / "umls"
MOST_BYTES = 300_000


def cells_of(path, kind):
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def kinds(cell):
    """Name the forms of a cell's outputs; a stream has none."""
    return [sorted(output.get("data", ())) for output in cell["outputs"]]


def test_the_example_notebook_runs_and_shows_what_it_gives(tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(UMLS, tmp_path / "tests" / "data" / "umls")
    copy = tmp_path / "docs" / NOTEBOOK.name
    copy.parent.mkdir()
    shutil.copy(NOTEBOOK, copy)
    command = [sys.executable, ROOT / "scripts" / "run_notebook.py", copy]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    again, stored = cells_of(copy, "code"), cells_of(NOTEBOOK, "code")
    assert [kinds(cell) for cell in again] == [kinds(cell) for cell in stored]
    assert [cell["source"] for cell in again] == [cell["source"] for cell in stored]
    assert "".join(again[-1]["outputs"][0]["data"]["text/plain"]) == "True"


def test_the_outputs_of_the_example_notebook_are_stored_and_small():
    cells = cells_of(NOTEBOOK, "code")
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell["outputs"] for cell in cells)
    assert sum(["image/png"] in kinds(cell) for cell in cells) == 3
    assert NOTEBOOK.stat().st_size < MOST_BYTES
    assert not re.search(r"(/home|/root|/tmp|/work)/", NOTEBOOK.read_text(encoding="utf-8"))


def test_links_of_the_example_notebook_lead_to_pages():
    text = "".join("".join(cell["source"]) for cell in cells_of(NOTEBOOK, "markdown"))
    links = re.findall(r"\]\(([^)#]+)(?:#([^)]+))?\)", text)
    assert links
    for page, anchor in links:
        target = NOTEBOOK.parent / page
        assert target.exists()
        assert not anchor or anchor in anchors(target)


@pytest.mark.parametrize("source", ["1 / 0", "!false", "missing"])
def test_a_notebook_with_an_error_stops_and_stays_as_it_was(tmp_path, source):
    path = tmp_path / "wrong.ipynb"
    text = json.dumps({"cells": [{"cell_type": "code", "source": [source], "outputs": [], "execution_count": None}]})
    path.write_text(text)
    command = [sys.executable, ROOT / "scripts" / "run_notebook.py", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert source.lstrip("!").split()[0] in done.stderr
    assert path.read_text() == text
