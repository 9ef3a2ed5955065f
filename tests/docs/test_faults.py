"""The table of faults has a row for every test that is marked as one."""

import ast
from collections.abc import Iterator

import pytest
from fault_table import Row, as_page, joined
from pages import ROOT

PAGE = ROOT / "docs" / "faults.md"


def marked() -> Iterator[tuple[str, str]]:
    """Yield the fault and the promise of every marker in the tests."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
                yield ast.literal_eval(node.args[0]), ast.literal_eval(node.keywords[0].value)


def rows() -> list[list[str]]:
    """Return the cells of the rows of the page."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if row[0] != "fault"]


def test_the_page_of_faults_has_a_row_for_every_marked_test():
    missing = {(fault, promised) for fault, promised in marked()} - {(row[0], row[1]) for row in rows()}
    assert not missing, "run scripts/fault_table"


def test_the_page_of_faults_has_no_row_without_a_test():
    left = {(row[0], row[1]) for row in rows()} - set(marked())
    assert not left, "run scripts/fault_table"


def test_cases_of_one_fault_are_one_row():
    row = {"area": "Runs", "fault": "a fault", "promised": "one message"}
    found = joined(
        [Row(**row, seen="as promised"), Row(**row, seen="no such | file\nin /x/pytest-of-a/pytest-1/t0/b.pt")]
    )
    assert as_page(found).splitlines()[-1] == r"| a fault | one message | `no such \| file in b.pt` | 2 |"


@pytest.mark.parametrize("area", ["## Text, id maps, groups and stores", "## Clusters"])
def test_the_page_of_faults_has_its_areas(area):
    assert area in PAGE.read_text(encoding="utf-8")
