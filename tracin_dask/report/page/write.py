"""Writes the pages of a result: one HTML file per answer, and an index, which is written last."""

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tracin_dask.errors import ResultError
from tracin_dask.places.files import exists, read_bytes, write_bytes
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.report.folder import ANSWER_STEM, SELF, answer_stems
from tracin_dask.report.page.answer import answer_of
from tracin_dask.report.page.histogram import Histogram
from tracin_dask.report.page.index import index_of
from tracin_dask.report.page.listed import check_truth
from tracin_dask.report.result import InfluenceResult

INDEX = "index.html"
_OURS = '<meta name="generator" content="tracin-dask">'
"""What every page has."""
_LINK = re.compile(rf'<a href="((?:{ANSWER_STEM}|{SELF.removesuffix(".json")})\.html)">')


def write_pages(
    result: InfluenceResult,
    folder: AnyPath,
    *,
    histogram: Histogram | None = None,
    truth: Sequence[Sequence[bool]] | None = None,
    overwrite: bool = False,
) -> list[Place]:
    """Write the page of every answer and an index of them into a folder.

    A page holds everything that it shows: it needs no server, no network, no other file.

    Parameters
    ----------
    result
        What the pages show.
    folder
        Where they go; made if it is missing. Other files in it stay.
    histogram
        How many of all training triples have which influence, from saved scores.
    truth
        For each answer and each training triple of its ranking, whether it is a known reason: those get a mark. Values
        for `result.further` may follow.
    overwrite
        Replace earlier pages. Those that the earlier index lists, and that are not written again, are deleted.

    Returns
    -------
    list of Place
        The pages in the order of the answers; the index is last.

    Raises
    ------
    ResultError
        If pages are there already, or the histogram or the truth does not fit the result.
    """
    place, names = place_of(folder), [f"{stem}.html" for stem in answer_stems(result)]
    if histogram is not None:
        histogram.check(len(result.rankings))
    if truth is not None:
        check_truth(result, truth)
    if not overwrite:
        _refuse_earlier(place, names)
    place.make_folder()
    for index, name in enumerate(names):
        known = None if truth is None else truth[index]
        page = answer_of(result, index, histogram=histogram, truth=known)
        beside = {"before": names[index - 1] if index else "", "after": (*names, "")[index + 1]}
        _write(place / name, "answer.html", page=page, title=page.question.title, index=INDEX, **beside)
    for earlier in list(_earlier(place)):
        if earlier.name not in names:
            earlier.delete()
    contents = index_of(result, names)
    _write(place / INDEX, "index.html", page=contents, title=contents.title)
    return [place / name for name in (*names, INDEX)]


def _refuse_earlier(folder: Place, names: Sequence[str]) -> None:
    found = next((name for name in (INDEX, *names) if exists(folder / name)), None)
    if found is not None:
        raise ResultError(
            f"{folder}: has the page {found} already; choose another folder, or replace the pages (overwrite=True)"
        )


def _earlier(folder: Place) -> Iterator[Place]:
    """Find the pages that an earlier index lists; a page, or an index, of another program is none."""
    text = read_bytes(folder / INDEX).decode(errors="replace") if exists(folder / INDEX) else ""
    for name in _LINK.findall(text) if _OURS in text else ():
        page = folder / name
        if exists(page) and _OURS in read_bytes(page).decode(errors="replace"):
            yield page


def _write(place: Place, template: str, **values: object) -> None:
    text = _templates().get_template(template).render(values)
    write_bytes(place, text.encode(errors="replace"))


@cache
def _templates() -> Environment:
    """Load the templates; text that they are given is escaped."""
    loader = PackageLoader("tracin_dask.report.page")
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["breaks"] = _breaks
    style, script = (loader.get_source(templates, name)[0] for name in ("style.css", "script.js"))
    templates.globals |= {"style": Markup(style), "script": Markup(script), "script_hash": _hash(script)}  # noqa: S704 - files of this package
    return templates


def _breaks(text: str) -> Markup:
    """Escape a text, and let lines break behind the marks that join its words."""
    return Markup(re.sub(r"(?<=\w)([_:./])(?=\w)", r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped before


def _hash(script: str) -> str:
    """Hash the script, so that a browser runs no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
