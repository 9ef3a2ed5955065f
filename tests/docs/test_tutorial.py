"""The tutorial: its commands run as they stand, and print what it shows."""

import re
import shutil

import jaxtyping
import pytest
from pages import ROOT, all_blocks, lines_of
from run_lines import form_of, run_line

UMLS = ROOT / "tests" / "data" / "umls"
BLOCKS = all_blocks((ROOT / "docs" / "tutorial.md").read_text())


def rows_of(text: str) -> list[str]:
    """Return the rows in the bodies of tables, without their numbers; a row may take several lines."""
    lines = [form_of(line) for line in text.splitlines() if line.startswith("│")]
    starts = [number for number, line in enumerate(lines) if not line.startswith("│ │")]
    return [" ".join(lines[start:end]) for start, end in zip(starts, [*starts[1:], len(lines)], strict=False)]


def other_lines(text: str) -> list[str]:
    return [form for line in text.splitlines() if not line.startswith("│") and (form := form_of(line))]


def same_forms(shown: str, printed: str) -> None:
    """Find every line that is shown in what was printed, up to numbers.

    On another CPU the model has other last digits, and training triples may change places: half of the rows are enough.
    """
    assert [line for line in other_lines(shown) if line not in other_lines(printed)] == []
    rows = rows_of(shown)
    found = [row for row in rows if row in rows_of(printed)]
    assert len(found) >= len(rows) / 2, f"{rows}\n{rows_of(printed)}"


def test_the_tutorial_prints_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # a training of 30 epochs: the readers' own time
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(UMLS, tmp_path / "tests" / "data" / "umls")
    monkeypatch.chdir(tmp_path)
    printed = ""
    for block in BLOCKS:
        if block.language == "bash":
            printed = "".join(run_line(line, as_it_is=True) for line in lines_of(block.code))
        else:
            same_forms(block.code, printed)
    assert (tmp_path / "tutorial" / "why-report" / "index.html").exists()


def test_every_step_of_the_tutorial_shows_what_it_prints():
    languages = [block.language for block in BLOCKS]
    assert languages == ["bash", "text"] * (len(languages) // 2)
    assert all(block.reason is None for block in BLOCKS)
    assert re.findall(r"tracin-dask (\w+)", "".join(block.code for block in BLOCKS if block.language == "bash")) == [
        *("train", "ingest", "predict", "run", "report", "evaluate", "paths")
    ]


def test_the_lines_in_the_tables_of_the_tutorial_count_from_1_as_it_says():
    text = (ROOT / "docs" / "tutorial.md").read_text()
    lines = (UMLS / "train.txt").read_text().splitlines()
    rows = re.findall(r"│ +[+-]\d\.\d{4} │ (\w+) +│ (\w+) +│ (\w+) +│ +(\d+) │\n(?!│ +│)", text)
    assert rows
    assert [lines[int(row[3]) - 1] for row in rows] == ["\t".join(row[:3]) for row in rows]
    assert "`line` is the line of `train.txt`, counted from 1" in text


def test_forms_differ_where_words_do():
    table = "title\n│ 1 │ +0.5 │ a │\n│   │ │ b │\n│ 2 │ +0.25 │ c │\n"
    assert rows_of(table) == ["│ # │ # │ a │ │ │ │ b │", "│ # │ # │ c │"]
    same_forms(table, table.replace("0.5", "0.75"))
    with pytest.raises(AssertionError):
        same_forms(table, table.replace("title", "another"))
    with pytest.raises(AssertionError):
        same_forms(table, table.replace("c", "d").replace("b", "d"))
