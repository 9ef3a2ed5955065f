"""`tracin-dask example`: writes a small real graph to try the other commands on."""

import shlex

import click

from tracin_dask.cli.options.targets import TARGET
from tracin_dask.cli.say import say
from tracin_dask.places.place import Place
from tracin_dask.triples.example_graph import TRIPLES, write_example

SIZES = "--embedding-dim 32 --embedding-height 8 --embedding-width 4"
TRAINING = f"{SIZES} --num-epochs 30 --batch-size 64 --learning-rate 0.003"
QUESTION = "--test-triple pharmacologic_substance treats disease_or_syndrome --preset retraining"


@click.command(no_args_is_help=True)
@click.argument("folder", type=TARGET)
def command(folder: Place) -> None:
    """Write the UMLS graph into a new FOLDER, and print the commands that train on it and explain a prediction.

    UMLS has 135 biomedical concepts, 46 relations and 5,216 training triples. FOLDER gets train.txt, valid.txt,
    test.txt, and README.md with their source and licence.

    \b
    Example:
      tracin-dask example umls
    """
    write_example(folder)
    say("\n  ".join([f"wrote {folder}: {', '.join(TRIPLES)}\n\nNext:", *next_commands(folder)]))


def next_commands(folder: Place) -> list[str]:
    """Give the commands that train a ConvE on the graph and explain one prediction."""
    train, valid, test, model, why = (str(folder / name) for name in (*TRIPLES, "model", "why.json"))
    files = ["--train", train, "--valid", valid, "--test", test, "-o", model]
    maps = ["--entity-to-id", f"{model}/entity_to_id.tsv", "--relation-to-id", f"{model}/relation_to_id.tsv"]
    trained = ["--model-path", f"{model}/final_model.pt", "--train", train, *maps]
    return [
        shlex.join(["tracin-dask", "train", *files, *TRAINING.split()]),
        shlex.join(["tracin-dask", "run", *trained, *QUESTION.split(), "--output", why]),
    ]
