"""`--tsv`: one long table of all test triples as text with tabs."""

from functools import partial

from tracin_dask.places.place import Place
from tracin_dask.report.csv import flat_lists
from tracin_dask.report.exports.base import Export, ExportOptions
from tracin_dask.report.exports.long_table import files_with, long_tables
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.text_table import write_text_table

_files = partial(files_with, ".tsv")


def write(result: InfluenceResult, folder: Place, options: ExportOptions) -> list[Place]:
    """Write the table; numbers of several checkpoints have a column each."""
    [place] = _files(result, folder, options)
    width = 0 if result.contributions is None else result.contributions[0].shape[1]
    tables = (flat_lists(table, width) for table in long_tables(result, options))
    write_text_table(tables, place, delimiter="\t", raw_text=options.raw_text)
    return [place]


EXPORT = Export(
    name="tsv",
    help="One table of all test triples, influences.tsv: a row per test triple and training triple.",
    uses=frozenset({"raw_text", "hops", "truth"}),
    files=_files,
    write=write,
)
