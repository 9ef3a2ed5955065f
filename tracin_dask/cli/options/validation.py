"""The options that all studies of `validate` share."""

from pathlib import Path
from typing import Any

import click

from tracin_dask.cli.options.numbers import MOST, WholeNumber
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.training import READING_OPTIONS, SETTINGS_OPTIONS, GraphFlags, SettingsFlags
from tracin_dask.cli.options.values import FILE, LOCAL_FOLDER, TrainingTriples
from tracin_dask.cli.options.where import WHERE_OPTIONS, WhereFlags
from tracin_dask.places.place import Place
from tracin_dask.seed import MOST_SEED


class StudyFlags(GraphFlags, SettingsFlags, WhereFlags):
    """The values of these options, by name."""

    output_dir: Path
    methods: Place | None
    only: tuple[str, ...]
    seed: int
    checkpoint_epochs: tuple[int, ...]


class Counts(click.ParamType[tuple[int, ...]]):
    """Whole numbers between commas."""

    name = "number,..."
    _number = WholeNumber()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:  # noqa: ANN401 - click's signature
        """Parse the text; the numbers are put in order."""
        if isinstance(value, tuple):
            return value
        return tuple(sorted({self._number.convert(word.strip(), param, ctx) for word in str(value).split(",")}))


def count_option(name: str, default: int, text: str, *, least: int = 1) -> Any:  # noqa: ANN401 - a decorator
    """Make an option for a whole number."""
    return click.option(name, type=WholeNumber(least, MOST), default=default, help=text)


STUDY_OPTIONS = (
    click.option(
        "--train",
        type=TrainingTriples(exists=True),
        required=True,
        help="Training triples: a text file, a store made by `ingest` (.zarr), a folder training_triples of PyKEEN, or "
        "pykeen:DATASET.",
    ),
    click.option("--test", type=TrainingTriples(exists=True), required=True, help="Test triples."),
    click.option(
        "--valid",
        type=TrainingTriples(exists=True),
        help="Validation triples; they count as known where ranks are filtered.",
    ),
    *READING_OPTIONS,
    click.option("-o", "--output-dir", type=LOCAL_FOLDER, required=True, help="Folder of the study."),
    click.option(
        "--methods",
        type=FILE,
        metavar="FILE.yaml",
        help="Methods to compare, lines of `name: {options of run}`. [default: those of tracin-dask]",
    ),
    click.option(
        "--only", multiple=True, metavar="NAME", help="Compare only this method of the file; may be repeated."
    ),
    click.option(
        "--seed",
        type=WholeNumber(0, MOST_SEED),
        default=0,
        help="Test triples, subsets, trainings and baselines follow from it.",
    ),
    click.option(
        "--checkpoint-epochs",
        type=Counts(),
        default=(),
        help="Keep checkpoints of these epochs for methods with several. [default: four, the last one among them]",
    ),
    *SETTINGS_OPTIONS,
    *WHERE_OPTIONS,
    *TALK_OPTIONS,
)
