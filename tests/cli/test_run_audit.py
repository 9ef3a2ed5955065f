"""`tracin-dask run --audit`: what the screen and the file say of the audit, and what a failed one leaves."""

import json

import pytest

from tracin_dask.errors import AuditError
from tracin_dask.runs.audit import choice, compare


@pytest.fixture(autouse=True)
def enough_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy, too."""
    monkeypatch.setattr(choice, "LEAST_SECONDS", 60.0)


@pytest.fixture
def words(project, tmp_path):
    """A command that writes a file."""
    return ["run", *project.options(), "--test-triple", *project.test_ids, "--output", tmp_path / "why.json"]


def test_the_screen_and_the_file_state_the_audit_and_show_repeats_it(tool, words, tmp_path):
    lines = tool(*words).output.splitlines()
    audit = json.loads((tmp_path / "why.json").read_text())["run"]["audit"]
    assert audit.keys() == {
        "rows",
        "test_triples",
        "checkpoints",
        "largest_deviation",
        "limit",
        "precision",
        "excluded",
        "seconds",
    }
    (line,) = [line for line in lines if line.startswith("audit: ")]
    assert line == (
        "audit: the influences of 4 training triples on 1 test triple deviate by at most "
        f"{audit['largest_deviation']:.0e} from plain automatic differentiation (allowed: 1e-04)"
    )
    assert line in tool("show", tmp_path / "why.json").output.splitlines()


def test_audit_off_compares_nothing_and_gives_the_same_influences(tool, words, tmp_path):
    influences = []
    for more in ([], ["--audit", "off"], ["--audit", 1]):
        shown = tool(*words, *more).output
        result = json.loads((tmp_path / "why.json").read_text())
        influences.append(result["influences"])
        assert result["run"].get("audit", {"rows": 0})["rows"] == {(): 4, ("--audit", 1): 1}.get(tuple(more), 0)
        assert ("audit: " in shown) == (more[-1:] != ["off"])
    assert influences[0] == influences[1] == influences[2]


@pytest.mark.parametrize(
    ("value", "message"),
    [("some", "'some' is not a whole number from 0"), ("-1", "'-1' is not a whole number from 0"), ("0.5", "or off")],
)
def test_a_value_of_audit_that_is_none_is_refused(refused, words, value, message):
    assert message in refused(*words, "--audit", value)


def test_a_failed_audit_writes_nothing_and_keeps_the_finished_rows(tool, words, tmp_path, monkeypatch):
    by_engine = compare._by_engine

    def doubled(*arguments):
        influences, is_left_out = by_engine(*arguments)
        return 2 * influences, is_left_out

    monkeypatch.setattr(compare, "_by_engine", doubled)
    with pytest.raises(AuditError, match=r"Nothing was written, finished rows are kept in .*why\.json\.progress\."):
        tool(*words)
    assert not (tmp_path / "why.json").exists()
    result = tool(*words, "--audit", "off")
    assert "600 training triples were recorded by an earlier, interrupted run" in result.output
    assert (tmp_path / "why.json").exists()
