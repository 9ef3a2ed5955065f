"""`scripts/run_notebook`: runs the code of a notebook, and writes what it gives into the notebook.

It needs no Jupyter, so that tests can run the example everywhere. Cells run in one namespace, in the notebook's folder,
on one core: threads that share busy cores wait for each other. A line that begins with `!` is a command. A cell shows
what it prints, the value of its last line, and its figures.
"""

import ast
import base64
import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

os.environ["MPLBACKEND"] = "agg"

Output = dict[str, Any]
_COMMAND_LINE = re.compile(r"^!((?:.*\\\n)*.*)$", flags=re.MULTILINE)
"""With the lines that continue it."""


@click.command()
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(notebook: Path) -> None:
    """Run the code of NOTEBOOK in its folder, and write what it gives into it; an error stops and changes nothing."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[os.getpid() % len(cores)]})
    contents = json.loads(notebook.read_text(encoding="utf-8"))
    path = notebook.resolve()
    os.chdir(path.parent)
    names: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in contents["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        cell["outputs"] = list(run_cell("".join(cell["source"]), names, number))
        cell["execution_count"] = number
    path.write_text(json.dumps(contents, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(f"ran {len(cells)} cells and wrote their outputs to {notebook}")


def run_cell(source: str, names: dict[str, Any], number: int) -> Iterator[Output]:
    """Run a cell, and give its outputs as a notebook holds them."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        value = _value(source, names, f"cell {number}")
    if printed.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())}
    figures = list(_figures())
    if value is not None and not figures:
        shown = {"output_type": "execute_result", "execution_count": number, "metadata": {}}
        yield shown | {"data": _described(value)}
    for figure in figures:
        yield {"output_type": "display_data", "metadata": {}, "data": {"image/png": figure}}


def _value(source: str, names: dict[str, Any], title: str) -> object:
    """Run the lines of a cell; give the value of the last one, if it is an expression without a semicolon behind it."""
    tree = ast.parse(_COMMAND_LINE.sub(lambda found: f"_command({found[1]!r})", source), title)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    names["_command"] = _command
    exec(compile(tree, title, "exec"), names)  # noqa: S102 - the project's own notebook
    if not isinstance(last, ast.Expr):
        return None
    value: object = eval(compile(ast.Expression(last.value), title, "eval"), names)  # noqa: S307 - runs a notebook of the project
    return None if source.rstrip().endswith(";") else value


def _command(line: str) -> None:
    """Run a command, and print what it prints."""
    folder = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(  # noqa: S602 - the project's own notebook
        line, shell=True, check=False, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    sys.stdout.write(done.stdout)
    if done.returncode:
        raise SystemExit(f"`{line}` failed:\n{done.stdout}")


def _described(value: object) -> dict[str, list[str]]:
    """Describe a value as text, and as HTML if it knows how."""
    described = {"text/plain": _lines(repr(value))}
    as_html = getattr(value, "_repr_html_", None)
    return described if as_html is None else {"text/html": _lines(as_html())} | described


def _figures() -> Iterator[str]:
    """Give open figures as PNG, and close them."""
    if "matplotlib.pyplot" not in sys.modules:
        return
    plt = sys.modules["matplotlib.pyplot"]
    for number in plt.get_fignums():
        image = io.BytesIO()
        plt.figure(number).savefig(image, format="png", dpi=80)
        yield base64.b64encode(image.getvalue()).decode()
    plt.close("all")


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    main()
