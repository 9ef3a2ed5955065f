"""Carries out `tracin-dask paths`: reads a result, finds its paths, prints and writes them."""

from typing import TYPE_CHECKING

import pyarrow as pa

from tracin_dask.cli.say import say, say_written
from tracin_dask.cli.terminal import show
from tracin_dask.errors import ConfigError
from tracin_dask.places.explained import writing
from tracin_dask.places.place import Place
from tracin_dask.report.choice import chosen_answers
from tracin_dask.report.formats import read_result
from tracin_dask.report.json import explained
from tracin_dask.report.paths.metapaths import table_of_metapaths
from tracin_dask.report.paths.options import PathOptions
from tracin_dask.report.paths.screen import answers_table, metapaths_table, paths_table, sentences
from tracin_dask.report.paths.search import refuse_self_influence
from tracin_dask.report.paths.table import find_in_answers, table_of_paths
from tracin_dask.report.table_file import write_table
from tracin_dask.triples.entity_types import read_entity_types

if TYPE_CHECKING:
    from tracin_dask.cli.paths import PathFlags


def find_paths_in(flags: "PathFlags") -> None:
    """Print and write the paths of the chosen answers, or of all.

    Raises
    ------
    ConfigError
        If options do not fit together, or the result is one of self-influence.
    ResultError
        If there is no result, or a chosen answer is not in it.
    TriplesError
        If the file of types cannot be read.
    """
    options = _options(flags)
    types = None if flags["types"] is None else read_entity_types(flags["types"])
    result = read_result(flags["path"], all_groups=False)
    refuse_self_influence(result)
    with explained(flags["path"]):
        chosen = chosen_answers(result, flags["test_triple"], flags["test_index"]) or range(len(result.rankings))
        found = find_in_answers(result, chosen, options)
        metapaths = table_of_metapaths(result, found, types)
    rows = flags["top"]
    show(paths_table(result, found, rows=rows) if len(found) == 1 else answers_table(result, found, rows=rows))
    if len(metapaths):
        show(metapaths_table(metapaths, rows=rows, has_many=len(found) > 1))
    say("\n".join(sentences(result, found, options, types)))
    if flags["output"] is not None:
        _write(table_of_paths(result, found), flags["output"], "the table of paths")
    if flags["metapaths"] is not None:
        _write(metapaths, flags["metapaths"], "the table of metapaths")


def _options(flags: "PathFlags") -> PathOptions:
    if flags["fewest_hops"] > flags["most_hops"]:
        raise ConfigError(
            f"--fewest-hops {flags['fewest_hops']} is more than --most-hops {flags['most_hops']}; expected at most that"
        )
    if flags["output"] is not None and str(flags["output"]) == str(flags["metapaths"]):
        raise ConfigError(f"{flags['output']} would be written twice; --output and --metapaths need different names")
    return PathOptions(
        fewest_hops=flags["fewest_hops"],
        most_hops=flags["most_hops"],
        directed=flags["directed"],
        proponents_only=flags["proponents_only"],
        measure=flags["measure"],
        most_paths=flags["most_paths"],
    )


def _write(table: pa.Table, place: Place, what: str) -> None:
    with writing(place, what):
        write_table(table, place)
    say_written(place)
