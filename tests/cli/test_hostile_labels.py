"""Labels and names that a terminal would obey are printed as escapes, in every output."""

import re
import sys
from html import escape
from pathlib import Path

import pytest
import torch
from bokeh.document import Document
from conftest import random_model

import tracin_dask
from tracin_dask.cli.main import main
from tracin_dask.monitor.page import fill
from tracin_dask.monitor.state import RunState
from tracin_dask.visible import visible

CLIPBOARD, TITLE, BACKWARDS = "a\x1b]52;c;cm0=\x07", "b\x1b]0;title\x07", "c\u202edef\u2066"
LABELS = [CLIPBOARD, TITLE, BACKWARDS, "d\x9b31m"]
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_only_what_a_terminal_obeys_or_hides_is_escaped():
    assert visible(CLIPBOARD) == r"a\x1b]52;c;cm0=\x07"
    assert visible(BACKWARDS) == r"c\u202edef\u2066"
    assert visible("bad name \udcff") == r"bad name \udcff"
    plain = "αβ, 日本, עברית, 👩‍🔬\tand\nlines \\x1b"
    assert visible(plain) == plain


@pytest.fixture
def _graph(tmp_path, monkeypatch):
    """Make a graph of hostile labels, its test triples in sets, and groups."""
    monkeypatch.chdir(tmp_path)
    triples = [[LABELS[n % 4], f"r{LABELS[n % 2]}", LABELS[(n + 1 + n // 4) % 4]] for n in range(12)]
    for name, more in (("train.txt", []), ("sets.txt", [TITLE]), ("groups.txt", [BACKWARDS])):
        Path(name).write_text("".join("\t".join([*triple, *more]) + "\n" for triple in triples))
    Path("test.txt").write_text("\t".join(triples[0]) + "\n")
    model = random_model(num_entities=4, num_relations=2).float()
    config = {name: getattr(model.config, name) for name in ("num_entities", "num_relations", "embedding_dim")}
    sizes = {name: getattr(model.config, name) for name in ("embedding_height", "embedding_width", "output_channels")}
    contents = {"model_state_dict": model.state_dict(), "model_config": config | sizes, "learning_rate": 0.1}
    torch.save(contents, "model\x1b.pt")


@pytest.mark.usefixtures("_graph")
@pytest.mark.parametrize(
    "words",
    [
        ["--test", "test.txt", "--group-by", "groups.txt", "--rank-of", "test.txt"],
        ["--test", "sets.txt", "--together"],
        ["--mode", "self"],
    ],
    ids=["groups", "sets", "self"],
)
def test_a_run_and_its_result_are_shown_with_escapes(tool, words):
    run = ["run", "--model-path", "model\x1b.pt", "--train", "train.txt", "--cache-dir", "cache", *words]
    made = tool(*run, "--threads-per-worker", 1, "--output", "why.json")
    assert made.exit_code == 0, made.output
    shown = tool("show", "why.json", *(["--test-index", 0] if "--test" in words else []))
    for output in (made.output, shown.output):
        assert r"\x1b" in output
        assert OBEYED.findall(output) == []
    texts = {entry["train_head_label"] for entry in tracin_dask.read_result("why.json").to_pandas().to_dict("records")}
    assert texts <= set(LABELS)  # files keep the labels as they are


@pytest.mark.usefixtures("_graph")
@pytest.mark.parametrize("command", ["ingest", "train"])
def test_an_error_about_a_hostile_label_is_shown_with_escapes(command, capsys, monkeypatch):
    Path("e.tsv").write_text("other\x1b\t0\n")
    Path("r.tsv").write_text("other\t0\n")
    Path("evil\x1b]0;x\x07.txt").write_bytes(Path("train.txt").read_bytes())
    words = {"ingest": ["evil\x1b]0;x\x07.txt"], "train": ["--train", "evil\x1b]0;x\x07.txt"]}[command]
    maps = ["--entity-to-id", "e.tsv", "--relation-to-id", "r.tsv"]
    monkeypatch.setattr(sys, "argv", ["tracin-dask", command, *words, *maps, "-o", "out"])
    with pytest.raises(SystemExit, match="1"):
        main()
    error = capsys.readouterr().err
    assert "unknown head label" in error
    assert r"\x1b" in error
    assert OBEYED.findall(error) == []


def test_the_page_of_the_dashboard_shows_escapes():
    start = {"event": "start", "run": "a1", "triples": 10, "tasks": 1, "resumed_triples": 0, "test_triples": 1}
    run = RunState(start, now=1.0)
    run.task_failed((0, 10), "tcp://w", f"<b>{BACKWARDS}", now=2.0)
    lists = [{"test": TITLE, "triples": [(1.0, CLIPBOARD, "r", f"<b>{BACKWARDS}")]}]
    run.lists({"event": "lists", "run": "a1", "word": "test triple", "total": 1, "lists": lists})
    document = Document()
    fill(document, lambda: run.figures(3.0), "tcp://127.0.0.1:8786")
    assert r"&lt;b&gt;c\u202edef" in document.select_one({"name": "failures"}).text
    table = document.select_one({"name": "best"}).text
    assert escape(visible(CLIPBOARD)) in table
    assert r"&lt;b&gt;c\u202edef" in table
    assert OBEYED.findall(table) == []


def test_commands_print_their_messages_through_one_function():
    folder = Path(tracin_dask.__file__).parent / "cli"
    allowed = {"say.py", "submit.py"}  # a script is printed as it is
    found = {path.name for path in folder.rglob("*.py") if "click.echo(" in path.read_text()}
    assert found == allowed
