"""The place in memory that docs/extending.md shows, for tests of reading and writing through places."""

import re
from pathlib import Path
from typing import Any

EXTENDING = Path(__file__).parents[1] / "docs" / "extending.md"


def documented_names() -> dict[str, Any]:
    """Run the page's code, which registers `memory://`, and give the names that it defines; nothing is kept yet."""
    section = EXTENDING.read_text().partition("## A place\n")[2]
    code = re.findall(r"^```python\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)[0]
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(code, EXTENDING, "exec"), names)  # noqa: S102 - the project's own text
    return names
