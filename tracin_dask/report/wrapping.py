"""Texts in narrow columns: lines that end between words, and an ellipsis in the middle where nothing else helps."""

import re

from rich.cells import cell_len

MOST_LINES = 3
"""A longer text is shortened, unless more lines are asked for."""
ELLIPSIS = "…"
_ENDS_OF_PIECES = re.compile(r"(?<=[\s_/:;,|-])(?![:/])")
"""A line may end at a blank or behind one of these characters."""


def pieces(text: str) -> list[str]:
    """Cut a text where a line may end; together the pieces are the text."""
    return [piece for piece in _ENDS_OF_PIECES.split(text) if piece]


def longest_piece(text: str) -> int:
    """Measure the longest part that stays in one line."""
    return max((cell_len(piece.rstrip()) for piece in pieces(text)), default=0)


def wrapped(text: str, width: int, most_lines: int = MOST_LINES) -> str:
    """Break a text into a few lines of a width; what does not fit is replaced by an ellipsis in its middle."""
    lines, room = _lines(text, width), most_lines * width
    while len(lines) > most_lines and room > 1:
        lines = _lines(shortened(text, room), width)
        room -= 1
    return "\n".join(lines)


def shortened(text: str, width: int) -> str:
    """Keep the beginning and the end of a text."""
    if cell_len(text) <= width:
        return text
    kept = max(0, width - 1)
    while True:
        end = kept // 2
        short = f"{text[: kept - end]}{ELLIPSIS}{text[len(text) - end :] if end else ''}"
        if cell_len(short) <= width or kept == 0:
            return short
        kept -= 1


def _lines(text: str, width: int) -> list[str]:
    lines = [""]
    for piece in pieces(text):
        if lines[-1] and cell_len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece if cell_len(piece.rstrip()) <= width else shortened(piece.rstrip(), width)
    return [line.rstrip() for line in lines]
