"""`tracin-dask convert`: ConvE checkpoints from one dialect to the other, one file or a folder of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import click

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.conve.convert import convert_checkpoint
from tracin_dask.models.conve.dialects import DIALECTS
from tracin_dask.models.conve.verify import compare_checkpoints

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_NEW_FOLDER = click.Path(file_okay=False, path_type=Path)


class ConvertOptions(TypedDict):
    """The options of the command, by name."""

    input: Path | None
    output: Path | None
    input_dir: Path | None
    output_dir: Path | None
    pattern: str
    to: str
    verify: bool
    embedding_height: int | None
    embedding_width: int | None
    overwrite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One checkpoint to read and the file to write."""

    source: Path
    target: Path


@click.command(context_settings={"show_default": True})
@click.option("--input", type=_FILE, help="The checkpoint to convert.")
@click.option("--output", "-o", type=_NEW_FILE, help="The file to write.")
@click.option("--input-dir", type=_FOLDER, help="Instead of --input: a folder of checkpoints, with its subfolders.")
@click.option("--output-dir", type=_NEW_FOLDER, help="Where those of --input-dir go, under the same names.")
@click.option("--pattern", default="*.pt", metavar="GLOB", help="Which files of --input-dir are checkpoints.")
@click.option(
    "--to", type=click.Choice([dialect.name for dialect in DIALECTS]), required=True, help="The dialect to write."
)
@click.option("--verify", is_flag=True, help="Compare both models' scores of random triples, and say how far apart.")
@click.option("--embedding-height", type=click.IntRange(min=1), help="Image rows in the input, where it does not tell.")
@click.option("--embedding-width", type=click.IntRange(min=1), help="Image columns, where the input does not tell.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
def command(**options: Unpack[ConvertOptions]) -> None:
    """Convert ConvE checkpoints between the dialects of train_pytorch and PyKEEN; every score stays.

    The two put the images of head and relation together on different axes: train_pytorch side by side, PyKEEN one
    above the other. Renaming tensors is therefore not enough. The conversion transposes the images, and with them
    kernels, feature maps and everything that meets them: an embedding of HEIGHT×WIDTH becomes one of WIDTH×HEIGHT.
    Numbers change places, not values, and ids stay, so the id maps stay valid.

    Sizes, learning rate, epoch, metrics and the hash of the id maps are kept. The optimiser's state is not: a training
    cannot go on from a converted file. The output is {model_state_dict, model_config, ...}.

    Where no model of the other dialect gives the same scores, nothing is written and the reason is told: PyKEEN gives
    every entity a bias, which train_pytorch has not (biases of 0 can be converted), and layers that a ConvE does not
    have (or lacks, as without batch norm) make it another model.

    The bias that PyKEEN gives every entity is a parameter, too: over all parameters, training triples with the tail of
    the test triple get a little more influence there. `run --parameters '*_embeddings.*' 'bn*' 'conv1.*' 'fc.*'` leaves
    it out, and gives the same influences for both files.

    --verify reads the written file again and scores 10,000 random triples with both models in float64. PyKEEN's side
    is scored by PyKEEN's own ConvE where it is installed (pip install 'tracin-dask[pykeen]').

    \b
    Examples:
      tracin-dask convert --input best_model.pt --output pykeen.pt --to pykeen --verify
      tracin-dask convert --input-dir checkpoints --output-dir converted --to train_pytorch --pattern '*_00*.pt'

    \b
    In PyKEEN, for a model with the sizes in model_config:
      model.load_state_dict(torch.load("pykeen.pt", weights_only=True)["model_state_dict"])
    """
    jobs = _jobs(options)
    _refuse_targets(jobs, overwrite=options["overwrite"])
    num_failed = sum(not _attempt(job, options, alone=len(jobs) == 1) for job in jobs)
    if num_failed:
        raise CheckpointError(f"{num_failed} of {len(jobs)} files were not converted, see above")


def _jobs(options: ConvertOptions) -> list[Job]:
    source, target = options["input"], options["output"]
    source_dir, target_dir = options["input_dir"], options["output_dir"]
    if source and target and not (source_dir or target_dir):
        return [Job(source=source, target=target)]
    if source_dir and target_dir and not (source or target):
        return _jobs_of_folder(source_dir, target_dir, options["pattern"])
    raise ConfigError("give --input and --output for one file, or --input-dir and --output-dir for a folder")


def _jobs_of_folder(source: Path, target: Path, pattern: str) -> list[Job]:
    if target.resolve().is_relative_to(source.resolve()):
        raise ConfigError(f"--output-dir {target} lies in --input-dir {source}; choose a folder outside of it")
    found = sorted(path for path in source.rglob(pattern) if path.is_file())
    if not found:
        raise ConfigError(f"{source} has no files {pattern}; --pattern chooses others")
    return [Job(source=path, target=target / path.relative_to(source)) for path in found]


def _refuse_targets(jobs: list[Job], *, overwrite: bool) -> None:
    for job in jobs:
        if job.target.exists() and job.target.samefile(job.source):
            raise ConfigError(f"{job.target} is the input itself; choose another output")
        if job.target.exists() and not overwrite:
            raise ConfigError(f"{job.target} is there already; choose another output, or --overwrite")


def _attempt(job: Job, options: ConvertOptions, *, alone: bool) -> bool:
    """Convert, and say whether it was done; one file of many that cannot be converted does not stop the others."""
    try:
        _convert(job, options)
    except CheckpointError as error:
        if alone:
            raise
        click.echo(f"not converted: {error}", err=True)
        return False
    return True


def _convert(job: Job, options: ConvertOptions) -> None:
    given = convert_checkpoint(
        job.source,
        job.target,
        options["to"],
        embedding_height=options["embedding_height"],
        embedding_width=options["embedding_width"],
    )
    size = f"{given.config.embedding_height}×{given.config.embedding_width}"
    transposed = f"{given.config.embedding_width}×{given.config.embedding_height}"
    click.echo(f"{job.source} ({given.dialect}, images {size}) -> {job.target} ({options['to']}, {transposed})")
    if options["verify"]:
        found = compare_checkpoints(given, job.target)
        click.echo(
            f"  {found.num_triples:,} random triples: scores differ by {found.largest_difference:.1e} at most, the "
            f"largest |score| is {found.largest_score:.3g} (the PyKEEN side was scored by {found.pykeen_side})"
        )
