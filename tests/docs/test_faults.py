"""The table of faults has a row for every test that is marked as one."""

import ast
import re
from pathlib import Path

from fault_table import AREAS, Row, as_page, joined
from pages import ROOT

TESTS = Path(__file__).parents[1]


def marked() -> set[tuple[str, str, str]]:
    """Give the area, the fault and the promise of each marked test."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.fault":
                (fault,), promised = call.args, {word.arg: word.value for word in call.keywords}["promised"]
                room = path.parent.name
                found.add((AREAS.get(room, room), ast.literal_eval(fault), ast.literal_eval(promised)))
    return found


def on_the_page() -> list[tuple[str, str, str]]:
    """Give the area, the fault and the promise of each row."""
    rows, area = [], ""
    for line in (ROOT / "docs" / "faults.md").read_text().splitlines():
        if line.startswith("## "):
            area = line.removeprefix("## ")
        elif (cells := re.split(r"(?<!\\)\|", line))[0] == "" and len(cells) == 6 and cells[-2].strip().isdigit():
            rows.append((area, cells[1].strip(), cells[2].strip()))
    return rows


def test_the_page_has_a_row_for_every_marked_test_and_no_other():
    rows = on_the_page()
    assert len(rows) == len(set(rows)) > 100
    assert set(rows) == marked()


def test_cases_of_one_fault_are_one_row():
    row = {"area": "Runs", "fault": "a fault", "promised": "one message"}
    found = joined(
        [Row(**row, seen="as promised"), Row(**row, seen="no such | file\nin /x/pytest-of-a/pytest-1/t0/b.pt")]
    )
    assert as_page(found).splitlines()[-1] == r"| a fault | one message | `no such \| file in b.pt` | 2 |"
