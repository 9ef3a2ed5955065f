"""Names of files that hold labels: only characters that every file system takes, and of bounded length."""

import re

MOST_BYTES = 50
"""Of one label: with both, a number and a suffix, a name stays below the 143 bytes that encrypted file systems take."""
_TAKEN = re.compile(r'[\s:/\\*?"<>|]')
"""White space, and what means something in paths or is refused by Windows."""


def safe(label: str) -> str:
    """Write what is not allowed as `_`, and cut what is too long; labels that differ may become equal."""
    text = "".join(character if character.isprintable() else "_" for character in _TAKEN.sub("_", label))
    return text.encode()[:MOST_BYTES].decode(errors="ignore")


def file_stem(index: int, head: str, tail: str) -> str:
    """Name a test triple, `triple_007_CHEBI_1_MONDO_2`; the number tells it from all others."""
    return f"triple_{index:03d}_{safe(head)}_{safe(tail)}"
