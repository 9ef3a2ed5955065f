"""Numbers beyond which an option is a mistake: what they ask for would fail in ways that say nothing."""

MOST_WORKERS = 1000
"""Worker processes of one machine."""
MOST_THREADS = 1024
"""Threads of one process; the libraries of PyTorch crash at some 10,000."""
MOST_BYTES = 2**60
SHOWN = 40
"""Characters of a wrong value in a message."""


def short(value: object) -> str:
    """Show a wrong value, or the beginning of a long one."""
    try:
        text = str(value)
    except ValueError:  # Python writes no integers of more than some thousand digits
        return "a number of thousands of digits"
    return repr(value) if len(text) <= SHOWN else f"{text[:SHOWN]!r}… ({len(text):,} characters)"
