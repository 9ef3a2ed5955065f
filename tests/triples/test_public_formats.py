"""Small files in public formats: each is ingested with the one command that the docs state for it."""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from tracin_dask.cli.main import group
from tracin_dask.triples.store import open_store

PAGE = Path(__file__).parents[2] / "docs" / "inputs.md"
TRIPLES = [("n:1", "treats", "n:2"), ("n:3", "causes", "n:2"), ("n:1", "treats", "n:2")]
"""What every file says; its third row repeats the first."""
IDS = [(0, 1, 1), (2, 0, 1), (0, 1, 1)]


def lines(delimiter: str, header: str = "", template: str = "{h}{d}{r}{d}{t}") -> bytes:
    rows = [template.format(h=head, r=relation, t=tail, d=delimiter) for head, relation, tail in TRIPLES]
    return "".join(f"{line}\n" for line in [*header.splitlines(), *rows]).encode()


def json_lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def parquet() -> bytes:
    head, relation, tail = (list(column) for column in zip(*TRIPLES, strict=True))
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(
        pa.table({"weight": [1.0, 2.0, 3.0], "tail": tail, "head": head, "relation": relation}), sink
    )
    return sink.getvalue().to_pybytes()


KGX_EDGES = [
    {"id": f"e{n}", "subject": h, "predicate": r, "object": t, "publications": ["x"], "negated": False}
    for n, (h, r, t) in enumerate(TRIPLES)
]
KGX_NODES = [
    {"id": "n:1", "name": "One", "category": ["x"]},
    {"id": "n:2", "name": "Two"},
    {"id": "n:9", "name": "Nine"},
]
PRIMEKG = "relation,display_relation,x_index,x_id,x_type,x_name,x_source,y_index,y_id,y_type,y_name,y_source"
FILES: dict[str, dict[str, bytes]] = {
    "edges.tsv": {"edges.tsv": lines("\t", "id\tsubject\tpredicate\tobject\tcategory", "x{d}{h}{d}{r}{d}{t}{d}")},
    "edges.jsonl": {"edges.jsonl": json_lines(KGX_EDGES), "nodes.jsonl": json_lines(KGX_NODES)},
    "kg.csv": {"kg.csv": lines(",", PRIMEKG, '{r},shown,{h},7,gene,"A, b",NCBI,{t},8,drug,"C ""d""",DrugBank')},
    "hetionet-v1.0-edges.sif.gz": {
        "hetionet-v1.0-edges.sif.gz": gzip.compress(lines("\t", "source\tmetaedge\ttarget"))
    },
    "train_sample.csv": {"train_sample.csv": lines("\t", template="{h}{d}{r}{d}{t}{d}1{d}source")},
    "train2id.txt": {
        "train2id.txt": "".join(["3\n", *(f"{h} {t} {r}\n" for h, r, t in IDS)]).encode(),
        "entity2id.txt": b"3\nn:1\t0\nn:2\t1\nn:3\t2\n",
        "relation2id.txt": b"2\ncauses\t0\ntreats\t1\n",
    },
    "relationships.csv": {"relationships.csv": lines(",", ":START_ID,:END_ID,weight,:TYPE", "{h},{t},1,{r}")},
    "graph.tsv.gz": {"graph.tsv.gz": gzip.compress(lines("\t", "id\tnode1\tlabel\tnode2", "x{d}{h}{d}{r}{d}{t}"))},
    "triples.csv": {"triples.csv": lines(",", '"head","relation","tail"', '"{h}","{r}","{t}"')},
    "triples.parquet": {"triples.parquet": parquet()},
    "-": {"train.txt.gz": gzip.compress(lines("\t"))},
}


def documented() -> dict[str, str]:
    """Return the commands of the table, by the file that each ingests."""
    found = re.findall(r"^\|.*\| `(.*tracin-dask ingest (\S+) .*)` \|$", PAGE.read_text(), flags=re.MULTILINE)
    return {name: command.replace("\\|", "|") for command, name in found}


def test_every_documented_format_is_in_this_corpus():
    assert documented().keys() == FILES.keys()


@pytest.fixture
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(files: dict[str, bytes]) -> None:
    for name, data in files.items():
        Path(name).write_bytes(data)


def stored() -> list[tuple[str, str, str]]:
    store = open_store("graph.zarr")
    block = store.read(0, len(store))
    labels: tuple[Callable[[int], str], ...] = (store.entities.label, store.relations.label, store.entities.label)
    rows = sorted(zip(block.train_index.tolist(), block.triples.tolist(), strict=True))
    return [tuple(name(part) for name, part in zip(labels, triple, strict=True)) for _, triple in rows]


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("name", [name for name in FILES if name != "-"])
def test_a_public_format_is_ingested_with_the_documented_command(name):
    write(FILES[name])
    result = CliRunner().invoke(group, shlex.split(documented()[name])[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert stored() == TRIPLES


@pytest.mark.usefixtures("_folder")
def test_the_output_of_a_command_is_ingested_with_the_documented_command():
    write(FILES["-"])
    command = documented()["-"].replace("tracin-dask", f"{shlex.quote(sys.executable)} -m tracin_dask")
    subprocess.run(["bash", "-c", command], check=True, capture_output=True, timeout=120, env=os.environ)
    assert stored() == TRIPLES


@pytest.mark.usefixtures("_folder")
def test_names_of_kgx_nodes_are_stored():
    write(FILES["edges.jsonl"])
    CliRunner().invoke(group, shlex.split(documented()["edges.jsonl"])[1:], catch_exceptions=False)
    assert open_store("graph.zarr").entity_names.to_pylist() == ["One", "Two", ""]


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize("name", [name for name in FILES if name not in ("-", "triples.parquet", "edges.jsonl")])
def test_without_options_a_public_format_is_refused_with_one_line_that_names_them(name):
    write(FILES[name])
    result = CliRunner().invoke(group, ["ingest", name, "-o", "graph.zarr"])
    message = str(result.exception)
    assert "--header" in message or "--columns" in message
    assert "\n" not in message
    assert not Path("graph.zarr").exists()
