"""`scripts/make_graph`: a synthetic knowledge graph of a given size in the users' formats, and a ConvE checkpoint."""

import sys
import time
from pathlib import Path
from typing import TypedDict, Unpack

import click
from rich.progress import MofNCompleteColumn, TimeElapsedColumn
from synthetic_graph.generate import ModelShape, generate
from synthetic_graph.shape import GraphShape, Skew

from tracin_dask.cli.actions.stage_progress import stage_progress
from tracin_dask.errors import TracInDaskError


class Options(TypedDict):
    """The options of the command, by name."""

    output: Path
    triples: int
    entities: int
    relations: int
    test_triples: int
    valid_triples: int
    seed: int
    embedding_dim: int
    embedding_height: int
    embedding_width: int
    channels: int
    learning_rate: float
    head_share: float
    degree_exponent: float
    relation_exponent: float
    tail_exponent: float
    overwrite: bool


_COUNT = click.IntRange(min=1)
_RATE = click.FloatRange(min=0, min_open=True)
_SKEW = Skew()


@click.command(context_settings={"show_default": True, "max_content_width": 110})
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to make.")
@click.option("--triples", type=_COUNT, default=18_602_343, help="Training triples.")
@click.option("--entities", type=_COUNT, default=1_446_771, help="Entities, of 13 types.")
@click.option("--relations", type=_COUNT, default=50, help="Relations, each from one entity type to another.")
@click.option("--test-triples", type=_COUNT, default=750, help="Held-out triples of the relation `treats`.")
@click.option("--valid-triples", type=_COUNT, default=250, help="More of them, for validation.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Everything is drawn by it.")
@click.option("--embedding-dim", type=_COUNT, default=32, help="Numbers per entity and relation: height × width.")
@click.option("--embedding-height", type=_COUNT, default=8, help="Rows of the image that an embedding becomes.")
@click.option("--embedding-width", type=_COUNT, default=4, help="Columns of that image.")
@click.option("--channels", type=_COUNT, default=32, help="Kernels of the convolution.")
@click.option("--learning-rate", type=_RATE, default=0.001, help="What the checkpoint says it was trained with.")
@click.option("--head-share", default=_SKEW.head_share, help="Share of the entities that are heads.")
@click.option("--degree-exponent", default=_SKEW.degree_exponent, help="Rows of a head: smaller is more uneven.")
@click.option(
    "--relation-exponent", default=_SKEW.relation_exponent, help="A head of n rows uses about n^this relations."
)
@click.option("--tail-exponent", default=_SKEW.tail_exponent, help="Pull of popular tails: larger makes larger hubs.")
@click.option("--overwrite", is_flag=True, help="Replace a graph that this command made.")
def command(**options: Unpack[Options]) -> None:
    """Make a synthetic knowledge graph with realistic skew, and a ConvE checkpoint for it.

    The defaults have the size of ROBOKOP. The same arguments give the same bytes. Memory does not depend on the
    number of triples: about 1 GiB with the defaults, most of it for the entities and the model; the disk holds every
    triple twice for a while.

    \b
    OUTPUT gets
      train.txt                        head TAB relation TAB tail, in random order, no triple twice
      test.txt, valid.txt              drugs that treat diseases, not in train.txt
      node_dict.txt, rel_dict.txt      label TAB id
      node_name_dict.txt               readable name TAB id
      edge_map.json                    predicates and qualifiers of the relations
      model.pt                         random weights, batch norms like those of a trained model
      graph.json                       the arguments and the skew as it came out

    Heads, relations and tails have heavy tails: a few relations hold most triples, hubs are tails of tens of
    thousands. The exponents set how heavy; scripts/synthetic_graph/__init__.py says where their values come from and
    what real graphs have.

    \b
    Examples:
      scripts/make_graph --output robokop-size
      scripts/make_graph --triples 10000 --entities 1000 --test-triples 50 --valid-triples 10 --output small
      scripts/make_graph --triples 272115 --entities 14541 --relations 237 --embedding-dim 200 --embedding-height 10 \\
          --embedding-width 20 --relation-exponent 0.68 --degree-exponent 2 --output fb15k-size
    """
    start = time.perf_counter()
    with stage_progress(MofNCompleteColumn(), TimeElapsedColumn()) as progress:
        statement = generate(
            _graph_shape(options),
            _model_shape(options),
            options["output"],
            overwrite=options["overwrite"],
            progress=progress,
        )
    click.echo(f"{options['output']}  ({time.perf_counter() - start:.1f} s)")
    for name, value in statement["measured"].items():
        click.echo(f"  {name.replace('_', ' '):<45} {value:,.4g}")


def _graph_shape(options: Options) -> GraphShape:
    return GraphShape(
        num_triples=options["triples"],
        num_entities=options["entities"],
        num_relations=options["relations"],
        num_test=options["test_triples"],
        num_valid=options["valid_triples"],
        skew=Skew(
            head_share=options["head_share"],
            degree_exponent=options["degree_exponent"],
            relation_exponent=options["relation_exponent"],
            tail_exponent=options["tail_exponent"],
        ),
        seed=options["seed"],
    )


def _model_shape(options: Options) -> ModelShape:
    return ModelShape(
        embedding_dim=options["embedding_dim"],
        embedding_height=options["embedding_height"],
        embedding_width=options["embedding_width"],
        output_channels=options["channels"],
        learning_rate=options["learning_rate"],
    )


def main() -> None:
    """Run the command; what is refused is printed as one message, without a traceback."""
    try:
        command(prog_name="scripts/make_graph")
    except TracInDaskError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
