"""`tracin-dask plan` says seconds and bytes first, by the measured speed of the last run of the same kind."""

import json
import re

import pytest

from tracin_dask.cli.actions import speed
from tracin_dask.cli.actions.plan import in_words


@pytest.fixture
def words(project, tmp_path):
    cache = ["--cache-dir", tmp_path / "cache"]
    return [*project.options(), *cache, "--test-triple", *project.test_ids]


@pytest.fixture
def run(tool, words, tmp_path, monkeypatch):
    """Run; however short it is, its speed counts."""
    monkeypatch.setattr(speed, "LEAST_SECONDS", 0.0)

    def once(*more):
        result = tool("run", *words, *more, "--output", tmp_path / "a.json")
        assert result.exit_code == 0, result.output

    return once


def recorded(tmp_path):
    return json.loads((tmp_path / "cache" / "speed.json").read_text())["runs"]


def test_the_plan_says_time_and_memory_first_and_where_the_rest_is(tool, words):
    first, second, rest = tool("plan", *words).stdout.splitlines()
    assert first.startswith("time: about 1 s in this process (a small job), by the built-in cost model: no run of this")
    assert second.startswith("memory per worker: about 4")
    assert " MiB of " in second
    assert rest.startswith("--verbose prints the rest")
    verbose = tool("plan", *words, "--verbose").stdout
    assert verbose.startswith(f"{first}\n{second}\n")
    assert "multiply-adds" in verbose


def test_a_run_records_its_speed_and_the_plan_of_the_same_kind_uses_it(tool, words, run, tmp_path):
    run()
    (key,) = recorded(tmp_path)
    contents = recorded(tmp_path) | {key: {"factor": 1e9, "measured": "2026-11-28T08:00:00+00:00"}}
    whole = {"format": "tracin-dask speed", "format_version": 1, "runs": contents}
    (tmp_path / "cache" / "speed.json").write_text(json.dumps(whole))
    first = tool("plan", *words).stdout.splitlines()[0]
    assert " h in this process" in first
    assert "at the measured speed of the last run of this kind on this machine (2026-11-28T08:00:00+00:00)" in first
    assert "built-in cost model" in tool("plan", *words, "--normalize", "cosine").stdout
    assert not re.search(r"\d", key.split(" | ", 3)[3])  # no number that depends on the size of the run
    run("--normalize", "cosine")
    assert len(recorded(tmp_path)) == 2


def test_nothing_is_recorded_or_used_where_that_is_not_wanted(tool, words, run, tmp_path, monkeypatch):
    monkeypatch.setenv(speed.OPT_OUT, "1")
    run()
    assert not (tmp_path / "cache" / "speed.json").exists()
    monkeypatch.delenv(speed.OPT_OUT)
    run()
    monkeypatch.setenv(speed.OPT_OUT, "1")
    assert "built-in cost model" in tool("plan", *words).stdout


def test_a_short_run_records_nothing(tool, words, tmp_path):
    assert tool("run", *words, "--output", tmp_path / "a.json").exit_code == 0
    assert not (tmp_path / "cache" / "speed.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "tracin-dask speed", "format_version": 1, "runs": 3}'])
def test_a_damaged_record_is_no_record_and_the_next_run_replaces_it(tool, words, run, tmp_path, text):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "speed.json").write_text(text)
    assert "built-in cost model" in tool("plan", *words).stdout
    run()
    assert len(recorded(tmp_path)) == 1


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (99.0, "99 s"), (600.0, "10 min"), (9000.0, "2.5 h")])
def test_times_are_written_as_roughly_as_they_are_known(seconds, text):
    assert in_words(seconds) == text
