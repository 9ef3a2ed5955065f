"""Text of unknown origin, made safe to print: labels, names of files, messages about them."""

import re

_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters of terminals; tabs and line ends are text
    "\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # direction of writing, invisible characters
    "\ud800-\udfff"  # bytes of file names that are not UTF-8
    "\U000e0000-\U000e007f"  # tags
    "]"
)


def visible(text: str) -> str:
    r"""Write characters that a terminal obeys or hides as escapes, such as \x1b or \u202e."""
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
