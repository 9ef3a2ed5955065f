"""The end of a log, which often says why no worker comes."""

import re
from pathlib import Path

END_BYTES = 16_384
"""How much of the end of a log is looked at."""
_ERROR = re.compile(r"[\w.]*(Error|Exception)\b.*")


def end_of(path: Path, begin: int = 0) -> str:
    """Read the end of a log, from the byte `begin` at the earliest; empty if there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(begin, path.stat().st_size - END_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def reason(text: str) -> str:
    """Give the first error of Python in a text, which is the cause of those after it; else its last line."""
    errors = [line for line in _lines(text) if _ERROR.fullmatch(line)]
    return errors[0] if errors else last_line(text)


def last_line(text: str) -> str:
    """Give the last line that is not blank; empty if there is none."""
    return (_lines(text) or [""])[-1]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
