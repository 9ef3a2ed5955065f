"""`--parquet`: one long table of all test triples with types."""

from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from tracin_dask.places.place import Place
from tracin_dask.report.exports.base import Export, ExportOptions
from tracin_dask.report.exports.long_table import files_with, long_tables
from tracin_dask.report.result import InfluenceResult

_files = partial(files_with, ".parquet")


def write(result: InfluenceResult, folder: Place, options: ExportOptions) -> list[Place]:
    """Write the table."""
    [place] = _files(result, folder, options)
    table = pa.concat_tables(long_tables(result, options))
    with place.writer() as file:
        pq.write_table(table, file, compression="zstd")
    return [place]


EXPORT = Export(
    name="parquet",
    help="The same table with types, influences.parquet.",
    uses=frozenset({"hops", "truth"}),
    files=_files,
    write=write,
)
