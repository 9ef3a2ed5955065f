"""`--html`: a page for each test triple, and an index of them."""

import numpy as np
import pyarrow as pa

from tracin_dask.places.place import Place
from tracin_dask.report.exports.base import Export, ExportOptions
from tracin_dask.report.folder import answer_stems
from tracin_dask.report.page.write import INDEX, write_pages
from tracin_dask.report.result import InfluenceResult


def files(result: InfluenceResult, folder: Place, _options: ExportOptions) -> list[Place]:
    """Name the page of each answer, and the index."""
    return [folder / name for name in (*(f"{stem}.html" for stem in answer_stems(result)), INDEX)]


def write(result: InfluenceResult, folder: Place, options: ExportOptions) -> list[Place]:
    """Write the pages; training triples that any column of truth knows get a mark."""
    return write_pages(result, folder, histogram=options.histogram, truth=_truth(options), overwrite=True)


def _truth(options: ExportOptions) -> list[list[bool]] | None:
    known = [column.values for column in options.columns.values() if column.is_truth]
    if not known:
        return None
    return [
        np.logical_or.reduce([_booleans(values) for values in of_one]).tolist() for of_one in zip(*known, strict=True)
    ]


def _booleans(values: pa.Array) -> np.ndarray:
    found: np.ndarray = values.to_numpy(zero_copy_only=False).astype(bool)
    return found


EXPORT = Export(
    name="html",
    help="A page for each test triple, and index.html: everything in the files, for any browser, without network.",
    uses=frozenset({"truth", "histogram"}),
    files=files,
    write=write,
)
