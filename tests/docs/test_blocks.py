"""Every code block of the README and of docs/ is run by a test, or says above itself why not."""

import re

import pytest
from pages import MARK, PAGES, Block, all_blocks, name_of
from test_commands import COMMAND_PAGES
from test_python import RUNNABLE

RUN_ELSEWHERE = {
    ("docs/validation.md", "bash"): "test_validation.py, with small numbers",
    ("docs/pipelines.md", "yaml"): "test_commands.py compares the settings with those of the workflow",
    ("docs/validation.md", "yaml"): "test_validation.py",
    ("docs/clusters.md", "yaml"): "test_clusters.py",
    ("docs/extending.md", "yaml"): "test_python.py, with the class of the section",
}
"""Blocks of pages and languages that tests of their own run."""


def is_run(page: str, block: Block) -> bool:
    if (page, block.language) in RUN_ELSEWHERE:
        return True
    if block.language == "python":
        return any(title.split(": ")[0] == page and block.code in text for title, text in RUNNABLE.items())
    return block.language in {"bash", "json", "text"} and page in COMMAND_PAGES


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_a_page_is_run_or_says_why_not(page):
    blocks = all_blocks(page.read_text())
    assert [block.code for block in blocks if block.reason is None and not is_run(name_of(page), block)] == []
    assert [block.code for block in blocks if block.reason == ""] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_code_block_escapes_the_tests(page):
    text = page.read_text()
    blocks = all_blocks(text)
    assert text.count("```") == 2 * len(blocks), "a fence is indented, or has a language with other letters"
    marked = [block for block in blocks if block.reason is not None]
    assert len(re.findall(f"^{MARK}", text, re.MULTILINE)) == len(marked), "a mark stands above no block"
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    code = re.compile(
        r"^ {4}(?:\./|scripts/|tracin-dask |pip |python |dask |import |from \w+ import ).*$", re.MULTILINE
    )
    assert code.findall(prose) == [], "commands and code stand between fences"


def test_blocks_that_tests_of_their_own_run_are_still_there():
    there = {(name_of(page), block.language) for page in PAGES for block in all_blocks(page.read_text())}
    assert set(RUN_ELSEWHERE) <= there
