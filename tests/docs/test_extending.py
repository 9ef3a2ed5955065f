"""The page about extending: each seam has its protocol, an example, and at most three existing files that change."""

import re

import pytest
from pages import ROOT, blocks

PAGE = (ROOT / "docs" / "extending.md").read_text()
HEADINGS = re.findall(r"^## (A .+)$", PAGE, flags=re.MULTILINE)
FILE = re.compile(r"`((?:tracin_dask|docs)/[\w/-]+(?:\.\w+|/)|pyproject\.toml)`")


def section(heading: str) -> str:
    return PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_every_seam_of_the_table_has_a_section():
    assert len(HEADINGS) == 8
    listed = re.findall(r"^\| \[.+?\]\(#(.+?)\)", PAGE, flags=re.MULTILINE)
    assert listed == [heading.lower().replace(" ", "-") for heading in HEADINGS]


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_seam_names_its_protocol_and_has_an_example(heading):
    text = section(heading)
    assert FILE.search(text)
    assert blocks(text, "python")


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_seam_lists_at_most_three_existing_files_that_change(heading):
    found = re.findall(r"Existing\s+files\s+that\s+change.*?\.(?=\s+[A-Z`]|\s*$)", section(heading), flags=re.DOTALL)
    assert len(found) == 1
    changed = FILE.findall(found[0])
    assert 1 <= len(changed) <= 3
