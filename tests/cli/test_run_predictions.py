"""`tracin-dask run`: what the model says of the test triples, on the screen and in files."""

import json

import numpy as np
import pytest
import torch

from tracin_dask.errors import ConfigError


@pytest.fixture
def said(project, tool, tmp_path):
    """The output of a run with these options, as one line of words, and the JSON that it wrote."""

    def run(*words):
        result = tool("run", *project.options(), *words, "--output", tmp_path / "why.json")
        assert result.exit_code == 0, result.output
        return " ".join(result.stdout.split()), json.loads((tmp_path / "why.json").read_text())

    return run


def test_the_table_starts_with_score_rank_and_notes(said, project):
    text, contents = said("--test-triple", *project.test_ids)
    with torch.no_grad():
        score = float(project.model.score(torch.from_numpy(project.lines[5:6])))
    found = contents["prediction"]
    assert found["score"] == pytest.approx(score, rel=1e-5)
    lines = np.flatnonzero((project.lines == project.lines[5]).all(axis=1)).tolist()
    assert found["train_index"] == lines
    assert text.startswith(f"Score: {found['score']:+.3g}, probability {found['probability']:.3g}. Rank of the tail: ")
    assert f"of 40 entities ({found['raw_tail_rank']} counting the tails of other training triples)." in text
    assert f"Note: this is a training triple, {len(lines)} times: lines 6, 8" in text


@pytest.mark.parametrize(("words", "has_rank"), [([], True), (["--ranks", "all"], True), (["--ranks", "none"], False)])
def test_ranks_are_computed_as_the_option_says(said, project, words, has_rank):
    text, contents = said("--test-triple", *project.test_ids, *words)
    assert (contents["prediction"]["filtered_tail_rank"] is not None) == has_rank
    assert ("Rank of the tail" in text) == has_rank


def test_ranks_of_self_influence_are_refused(project, tool, tmp_path):
    with pytest.raises(ConfigError, match=r"ranks are those of test triples, and mode 'self' has none; leave ranks"):
        tool("run", *project.options(), "--mode", "self", "--ranks", "all", "--output", tmp_path / "why.json")


def test_the_plan_says_which_ranks_are_computed_and_how_long_that_takes(project, tool):
    words = [*project.options(), "--test-triple", *project.test_ids]
    plan, without = (tool("plan", "--verbose", *words, *more).stdout for more in ([], ["--ranks", "none"]))
    assert "ranks of tails about 1 s of one CPU thread" in " ".join(plan.split())
    assert "ranks of heads no: ConvE scores all tails" in " ".join(plan.split())
    assert "ranks of tails no: --ranks none" in " ".join(without.split())
