"""The end of a log, which often says why no worker comes."""

import re
from pathlib import Path

END_BYTES = 16_384
"""How much of the end of a log is looked at."""
_ERROR = re.compile(r"[\w.]*(Error|Exception)\b.*")


def last_words(path: Path, begin: int = 0) -> str:
    """Give the reason that a log ends with; empty if nothing follows the byte `begin`, or there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(begin, path.stat().st_size - END_BYTES))
            return reason(file.read().decode(errors="replace"))
    except FileNotFoundError:
        return ""


def reason(text: str) -> str:
    """Give the first error of Python in a text, which is the cause of those after it; else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if _ERROR.fullmatch(line)]
    return (errors or lines[-1:] or [""])[0]
