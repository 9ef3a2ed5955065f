"""The examples of the help texts run as they stand, each in a folder with the files that it names."""

import re
import shlex
import shutil
from pathlib import Path

import jaxtyping
import pytest
from help_texts import HELP_EXAMPLES
from made_folder import TESTS
from pages import PAGES, lines_run
from run_lines import outputs_of, run_line

WITHOUT_EXAMPLES = {
    "tracin-dask validate": "each study has one",
    "tracin-dask cluster": "each of its commands has some",
}
"""Help texts without an example, and why."""
NOT_RUN_HERE = {
    r"validate ": "trains many models; test_validation.py runs such lines with small numbers",
    r"submit ": "needs a Slurm; tests/slurm submits runs",
    r"(run|ingest) .*--cluster slurm\.yaml": "needs a Slurm",
    r"cluster check ": "tests/cli/test_cluster.py checks clusters",
}
"""Beginnings of examples that are only parsed here, by test_options.py, and why."""


def words_of(line: str) -> tuple[str, ...]:
    return tuple(shlex.split(line, comments=True))


def is_run_here(line: str) -> bool:
    return not any(re.match(f"tracin-dask {beginning}", line) for beginning in NOT_RUN_HERE)


RUN_BY_PAGES = {words_of(line) for page in PAGES for line in lines_run(page)}
LINES = [line for lines in HELP_EXAMPLES.values() for line in lines]
RUN_HERE = [line for line in LINES if is_run_here(line) and words_of(line) not in RUN_BY_PAGES]


@pytest.mark.parametrize("name", HELP_EXAMPLES)
def test_every_help_text_has_an_example_of_its_command(name):
    lines = HELP_EXAMPLES[name]
    assert bool(lines) != (name in WITHOUT_EXAMPLES)
    assert [line for line in lines if not line.startswith(f"{name} ")] == []


@pytest.fixture(scope="session")
def explained(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the files that the pages name, and add results and what only help texts name."""
    folder = tmp_path_factory.mktemp("explained") / "folder"
    shutil.copytree(made, folder)
    question = "tracin-dask run --model-path model.pt --train graph.zarr"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the calls are those of the tests
        patch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
        patch.chdir(folder)
        run_line("paste train.txt source_of_each_line.txt | gzip > sources.tsv.gz")
        run_line("(echo relation,x_index,y_index; awk -v OFS=, '{print $2, $1, $3}' train.txt) > kg.csv")
        run_line("tracin-dask cluster init slurm --output slurm.yaml")
        run_line(f"{question} --test test.txt --save-scores scores.zarr --output-dir why/")
        run_line(f"{question} --test-triple {' '.join(TESTS[0])} --output why.json")
    return folder


@pytest.fixture
def _help_folder(explained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a copy of the files, with a cache of its own."""
    shutil.copytree(explained, tmp_path / "folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "folder")


@pytest.mark.usefixtures("_help_folder")
@pytest.mark.parametrize("line", [pytest.param(line, id=f"{n}: {line[:60]}") for n, line in enumerate(RUN_HERE)])
def test_an_example_of_a_help_text_runs(line):
    for path in outputs_of(line):  # several examples write the same file
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    run_line(line)
