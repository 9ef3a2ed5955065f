"""Every path of `ingest`, `plan` and `run` may be a URL."""

import json
from pathlib import Path

import pytest
from memory_place import documented_names

from tracin_dask import read_result
from tracin_dask.errors import PlaceError
from tracin_dask.places.files import read_bytes, write_bytes
from tracin_dask.places.registry import place_of


@pytest.fixture
def memory(project) -> None:
    """The project's files, kept at memory://project/, with a file of groups."""
    documented_names()
    for path in project.folder.iterdir():
        if path.is_file():
            write_bytes(f"memory://project/{path.name}", path.read_bytes())
    lines = (project.folder / "train.txt").read_text().splitlines()
    grouped = "".join(f"{line}\tsource {number % 3}\n" for number, line in enumerate(dict.fromkeys(lines)))
    write_bytes("memory://project/sources.tsv", grouped.encode())


@pytest.mark.usefixtures("memory")
def test_a_run_between_urls_finds_what_a_run_between_paths_finds(tool, project, monkeypatch):
    monkeypatch.chdir(project.folder)
    before = sorted(project.folder.rglob("*"))
    maps = ["--entity-to-id", "memory://project/node_dict.txt", "--relation-to-id", "memory://project/rel_dict.txt"]
    asked = ["--test-triple", *project.test_ids, "--top-k", 5, "--threads-per-worker", 1]
    tool("ingest", "memory://project/train.txt", "-o", "memory://stores/graph.zarr", *maps)
    words = ["--model-path", "memory://project/model*.pt", "--train", "memory://stores/graph.zarr", *maps]
    output = ["--output", "memory://results/why.json", "--save-groups", "memory://results/groups.parquet"]
    more = ["--group-by", "memory://project/sources.tsv", "--cache-dir", "memory://cache"]
    said = tool("run", *words, *asked, *output, *more, "--save-scores", "memory://scores.zarr").output
    assert "wrote memory://results/why.json" in said
    assert sorted(project.folder.rglob("*")) == before
    tool("run", *project.options(), *asked, "--output", project.folder / "why.json")
    there, here = json.loads(read_bytes("memory://results/why.json")), json.loads(Path("why.json").read_text())
    assert there["influences"] == here["influences"]
    assert not place_of("memory://results").find("*.progress/*")
    assert place_of("memory://cache").find("sources-groups-*.zarr/zarr.json")


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("output", "again"),
    [(["--output", "memory://why.parquet"], []), (["--output-dir", "memory://why/"], ["--overwrite"])],
)
def test_results_of_every_kind_are_written_and_shown_at_urls(tool, project, output, again):
    tool("run", *project.options(), "--test-triple", *project.test_ids, "--group-by", "relation", "--top-k", 3, *output)
    result = read_result(output[1])
    assert len(result.rankings[0]) == 3
    assert len(result.groups) == 1
    said = tool("show", output[1]).output
    assert f"{result.rankings[0].influence[0]:+.4f}" in said
    tool("run", *project.options(), "--test-triple", *project.test_ids, *output, *again)
    assert not read_result(output[1]).groups


@pytest.mark.usefixtures("memory")
def test_a_url_where_nothing_lies_is_named(tool, project):
    said = tool("plan", *project.options(), "--test", "memory://project/none.txt").output
    assert "File 'memory://project/none.txt' does not exist." in said


def test_a_url_of_an_unknown_kind_is_refused(tool, project):
    with pytest.raises(PlaceError, match=r"ftp://bucket/why\.json: no place is known for ftp://"):
        tool("run", *project.options(), "--mode", "self", "--output", "ftp://bucket/why.json")
