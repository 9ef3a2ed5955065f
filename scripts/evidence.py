"""`scripts/evidence`: the tables of docs/evidence.md, which tell what influences are worth."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import click
from evidence_tables.document import write_table
from evidence_tables.lists import lists_table
from evidence_tables.peers import peers_table
from evidence_tables.studies import SMALL_GRAPH, STUDIES, Place, Study, graphs_of, study_table

DATA = os.environ.get("TRACIN_DASK_DATA", "data")
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(context_settings={"max_content_width": 110, "help_option_names": ["-h", "--help"]})
def command() -> None:
    """Measure what influences are worth on several graphs. Each command makes one table of the documentation.

    A folder of graphs (default: $TRACIN_DASK_DATA) holds a folder for each, with train.txt, valid.txt and test.txt.
    UMLS comes with the project. Finished trainings and runs are kept in the output folder: give the same command
    again to continue.
    """


def _places(function: Callable[..., None]) -> Callable[..., None]:
    for add in (
        click.option(
            "--markdown", type=click.Path(path_type=Path, exists=True), help="Put the table into this document."
        ),
        click.option("-o", "--output-dir", type=FOLDER, default="evidence", show_default=True),
        click.option("--data", type=FOLDER, default=DATA, show_default=True, help="Folder of graphs."),
    ):
        function = add(function)
    return function


def _study_command(study: Study) -> None:
    @command.command(study.name, help=study.help)
    @_places
    @click.option("--graph", "graphs", multiple=True, help="Only this graph; may be repeated.  [default: all]")
    @click.option("--seed", "seeds", type=int, multiple=True, default=study.seeds, show_default=True)
    @click.option("--small", "is_small", is_flag=True, help=f"A small version: {SMALL_GRAPH} alone, with one seed.")
    def measure(
        data: Path,
        output_dir: Path,
        markdown: Path | None,
        graphs: Sequence[str],
        seeds: Sequence[int],
        *,
        is_small: bool,
    ) -> None:
        if is_small and markdown is not None:
            raise click.UsageError("--small tells too little for a document; leave out one of --small and --markdown")
        chosen = {SMALL_GRAPH: study.small} if is_small else graphs_of(study, graphs)
        place = Place(data=data, output=output_dir / (f"{study.name}-small" if is_small else study.name))
        _show(study.name, study_table(study, chosen, place, seeds[:1] if is_small else seeds), markdown)


for _study in STUDIES.values():
    _study_command(_study)


@command.command()
@_places
def lists(data: Path, output_dir: Path, markdown: Path | None) -> None:
    """How specific top-10 lists are: 75 test triples of a part of Hetionet, by several options; some minutes."""
    _show("lists", lists_table(Place(data=data, output=output_dir / "lists")), markdown)


@command.command()
@_places
@click.option("--seed", "seeds", type=int, multiple=True, default=(1, 2, 3), show_default=True)
@click.option("--only", "wanted", multiple=True, metavar="TEXT", help="Of theirs, only methods with this in the name.")
@click.option("--small", "is_small", is_flag=True, help=f"A small version: {SMALL_GRAPH}.")
def peers(
    data: Path, output_dir: Path, markdown: Path | None, seeds: Sequence[int], wanted: Sequence[str], *, is_small: bool
) -> None:
    """What the methods of other libraries (docs/peers.md) are worth beside ours: LDS on UMLS; about half an hour."""
    place = Place(data=data, output=output_dir / ("peers-small" if is_small else "peers"))
    _show("peers", peers_table(place, seeds, wanted, is_small=is_small), markdown)


def _show(name: str, table: str, markdown: Path | None) -> None:
    click.echo(f"\n{table}")
    if markdown is not None:
        write_table(markdown, name, table)


if __name__ == "__main__":
    command(prog_name="scripts/evidence")
