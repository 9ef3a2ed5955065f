"""The README and the pages of docs/: their text, code blocks, headings and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MARK = "<!-- not run:"
"""Begins the line above a block that no test runs; the rest of the line is the reason."""
_BLOCK = re.compile(rf"^(?:{MARK}([^\n]*)-->\n)?```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced code block, and the reason why no test runs it, if there is one."""

    language: str
    code: str
    reason: str | None


def all_blocks(text: str) -> list[Block]:
    """Return the fenced code blocks of a text, in order."""
    found = (match.groups() for match in _BLOCK.finditer(text))
    return [Block(language=word, code=code, reason=why if why is None else why.strip()) for why, word, code in found]


def name_of(page: Path) -> str:
    """Name a page as its reader would: README.md, docs/losses.md."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    """Return the code of the blocks of a language that tests run, in order."""
    return [block.code for block in all_blocks(text) if block.language == language and block.reason is None]


def lines_run(page: Path) -> list[str]:
    """Return the lines of a page's bash blocks that tests run."""
    return [line for code in blocks(page.read_text(), "bash") for line in lines_of(code)]


def prose(page: Path) -> str:
    """Return a page without its fenced code blocks."""
    return _BLOCK.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Return the targets of all links and images."""
    return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def lines_of(code: str) -> list[str]:
    """Return the lines of a block of commands, lines that continue joined."""
    return [line for line in code.replace("\\\n", " ").splitlines() if line.strip()]


def commands(page: Path) -> Iterator[str]:
    """Yield the `tracin-dask` command lines of a page's bash blocks, those that no test runs included."""
    for block in all_blocks(page.read_text()):
        if block.language == "bash":
            yield from (line for line in lines_of(block.code) if line.startswith("tracin-dask "))
