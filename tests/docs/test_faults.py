"""The table of faults is a page with a row for every fault."""

from fault_table import Row, as_page, joined


def test_cases_of_one_fault_are_one_row():
    row = {"area": "Runs", "fault": "a fault", "promised": "one message"}
    found = joined(
        [Row(**row, seen="as promised"), Row(**row, seen="no such | file\nin /x/pytest-of-a/pytest-1/t0/b.pt")]
    )
    assert as_page(found).splitlines()[-1] == r"| a fault | one message | `no such \| file in b.pt` | 2 |"
