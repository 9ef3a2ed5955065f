"""Messages of the troubleshooting page are messages of the package."""

import re

import pytest
from pages import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
VARYING = re.compile(r"…|\bADDRESS\b")
"""The parts of a message that differ from case to case."""


def messages() -> list[str]:
    """Return the code spans in the first column of the table."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row.split(" | ")[0])]


def source() -> str:
    """Return the text of the package, with strings that continue on the next line joined."""
    text = "".join(path.read_text() for path in sorted((ROOT / "tracin_dask").rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("message", [found for found in messages() if found not in {"ingest", "convert"}])
def test_a_message_of_the_troubleshooting_page_is_in_the_package(message):
    text = source()
    fixed = [part.strip() for part in VARYING.split(message) if part.strip()]
    assert [part for part in fixed if part not in text] == []
