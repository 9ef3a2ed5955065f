"""Carries out `tracin-dask convert`: one file, or a folder of files."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tracin_dask.cli.convert import ConvertFlags
from tracin_dask.cli.say import is_quiet, say, say_written
from tracin_dask.cli.stopping import keeping
from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.conve.convert import convert_checkpoint, counterpart
from tracin_dask.models.conve.dialects import find_dialect
from tracin_dask.models.conve.verify import compare_checkpoints
from tracin_dask.places.explained import writing
from tracin_dask.places.files import exists, locked_file
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.places.target import is_stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One checkpoint to read and the file to write."""

    source: Place
    target: Place


def convert(options: ConvertFlags) -> None:
    """Convert one file, or all files of a folder.

    Raises
    ------
    TracInDaskError
        If options do not go together, or a file cannot be converted.
    """
    jobs = _jobs(options)
    if options["verify"] and any(_is_stream(job.target) for job in jobs):
        raise ConfigError("--verify reads the converted file again, which a pipe does not allow; leave it out")
    _refuse_targets(jobs, overwrite=options["overwrite"])
    tried: list[bool] = []
    with keeping(lambda: f"{sum(tried)} of {len(jobs)} files were converted"):
        tried.extend(_attempt(job, options, alone=len(jobs) == 1) for job in jobs)
    num_failed = len(tried) - sum(tried)
    if num_failed:
        raise CheckpointError(f"{num_failed} of {len(jobs)} files were not converted, see above")


def _jobs(options: ConvertFlags) -> list[Job]:
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
    return [Job(source=place_of(path), target=place_of(target / path.relative_to(source))) for path in found]


def _refuse_targets(jobs: list[Job], *, overwrite: bool) -> None:
    for job in jobs:
        there = exists(job.target)
        if there and _is_same(job.source, job.target):
            raise ConfigError(f"{job.target} is the input itself; choose another output")
        if there and not overwrite and not _is_stream(job.target):
            raise ConfigError(f"{job.target} exists already; choose another output, or --overwrite")


def _attempt(job: Job, options: ConvertFlags, *, alone: bool) -> bool:
    """Convert, and say whether it was done; one file of many that cannot be converted does not stop the others."""
    try:
        with _reserved(job.target):
            _convert(job, options)
    except CheckpointError as error:
        if alone:
            raise
        say(f"not converted: {error}", err=True)
        return False
    return True


def _is_same(one: Place, other: Place) -> bool:
    paths = one.local_path(), other.local_path()
    return one == other if paths[0] is None or paths[1] is None else paths[0].samefile(paths[1])


def _is_stream(place: Place) -> bool:
    path = place.local_path()
    return path is not None and is_stream(path)


@contextmanager
def _reserved(target: Place) -> Iterator[None]:
    """Let no other command write the file until the block ends; pipes are as they are."""
    if _is_stream(target):
        yield
        return
    with ExitStack() as stack:
        with writing(target, "the checkpoint"):
            target.parent.make_folder()
            target.check_writable()
            stack.enter_context(locked_file(target))
        yield


def _convert(job: Job, options: ConvertFlags) -> None:
    given = convert_checkpoint(
        job.source,
        job.target,
        options["to"],
        embedding_height=options["embedding_height"],
        embedding_width=options["embedding_width"],
    )
    config = given.model.config
    made = counterpart(config, find_dialect(options["to"]))
    size, made_size = (f"{sizes.embedding_height}×{sizes.embedding_width}" for sizes in (config, made))
    if is_quiet():
        say_written(job.target)
    say(f"{job.source} ({given.format.name}, images {size}) -> {job.target} ({options['to']}, {made_size})")
    if options["verify"]:
        found = compare_checkpoints(given, job.target)
        say(
            f"  {found.num_triples:,} random triples: scores differ by {found.largest_difference:.1e} at most, the "
            f"largest |score| is {found.largest_score:.3g} (the PyKEEN side was scored by {found.pykeen_side})"
        )
