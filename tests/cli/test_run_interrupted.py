"""An interrupted run continues where it stopped when the same command is given again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tracin_dask.errors import ResumeError
from tracin_dask.triples.ingest import ingest

NUM_ROWS = 10_000
MAIN = "from tracin_dask.cli.main import main; main()"


@pytest.fixture(scope="module")
def words(write_project, tmp_path_factory):
    """A command line with batches of one triple, so that it takes some seconds on any machine."""
    project = write_project(tmp_path_factory.mktemp("long"), NUM_ROWS)
    store = project.folder / "graph.zarr"
    maps = {"entity_to_id": project.folder / "node_dict.txt", "relation_to_id": project.folder / "rel_dict.txt"}
    ingest(project.folder / "train.txt", store, **maps)
    job = ["--test-triple", *project.test_ids, "--batch-size", "1", "--top-k", "30", "--threads-per-worker", "1"]
    return ["run", "--model-path", f"{project.folder}/model.pt", "--train", str(store), *job]


@pytest.fixture
def stopped(words, stop, tmp_path):
    """The command line of a run that was stopped in its third task."""
    output = tmp_path / "a.json"
    words = [*words, "--batch-size", "100", "--output", str(output)]
    stop(*words, after=2)
    assert len(list(output.with_name("a.json.progress").glob("rows-*.npz"))) == 2
    return words


def start(words, output):
    command = [sys.executable, "-c", MAIN, *words, "--output", str(output)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def signalled(words, output, number):
    """Run until one more task is recorded, then send a signal; return exit code and output."""
    folder = output.with_name(f"{output.name}.progress")
    known = len(list(folder.glob("rows-*.npz")))
    with start(words, output) as process:
        while len(list(folder.glob("rows-*.npz"))) == known:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.kill(process.pid, number)
        said = process.communicate()[1]
    return process.returncode, said


def finish(words, output):
    with start(words, output) as process:
        assert process.wait() == 0, process.communicate()
    return json.loads(output.read_text())


@pytest.mark.parametrize("tasks", [0, 1])
def test_an_interrupted_run_prints_how_much_is_recorded(words, stop, tmp_path, tasks):
    result = stop(*words, "--batch-size", "100", "--output", str(tmp_path / "a.json"), after=tasks)
    assert "stopped; " + ("finished rows are kept in" if tasks else "nothing is kept") in result.stderr
    assert (tmp_path / "a.json.progress").exists() == bool(tasks)


@pytest.mark.slow
def test_a_run_continues_after_a_kill_and_after_ctrl_c(words, tmp_path):
    output = tmp_path / "out" / "a.json"
    assert signalled(words, output, signal.SIGKILL)[0] == -signal.SIGKILL
    code, said = signalled(words, output, signal.SIGINT)
    assert code == 128 + signal.SIGINT
    assert said.splitlines()[-1] == (
        f"stopped; finished rows are kept in {output}.progress: the same command continues from there"
    )
    assert not output.exists()
    resumed, undisturbed = finish(words, output), finish(words, tmp_path / "b.json")
    assert NUM_ROWS / 2 <= resumed["run"]["statistics"]["resumed_rows"] < NUM_ROWS
    assert resumed["run"]["statistics"]["rows"] == NUM_ROWS
    assert resumed["influences"] == undisturbed["influences"]
    assert [path.name for path in output.parent.iterdir()] == ["a.json"]


def test_a_run_with_other_options_refuses_the_records_of_an_interrupted_run(stopped, tool):
    with pytest.raises(ResumeError, match=r"a\.json\.progress holds the finished part of another run \(top k: 30 then"):
        tool(*stopped, "--top-k", 20)


def test_restart_discards_the_records_of_an_interrupted_run(stopped, tool, tmp_path):
    tool(*stopped, "--top-k", 20, "--restart")
    statistics = json.loads((tmp_path / "a.json").read_text())["run"]["statistics"]
    assert (statistics["resumed_rows"], statistics["rows"]) == (0, NUM_ROWS)


def test_progress_of_a_resumed_run_ends_at_all_triples(stopped, tool):
    assert f"scored {NUM_ROWS:,} of {NUM_ROWS:,} training triples" in tool(*stopped).stderr
