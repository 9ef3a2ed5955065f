"""`scripts/evidence`: the small version on a real graph, and the tables that it writes."""

import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

import evidence  # noqa: E402 - scripts/ must be on the path
from evidence_tables.combined import combined  # noqa: E402 - scripts/ must be on the path
from evidence_tables.document import write_table  # noqa: E402 - scripts/ must be on the path
from evidence_tables.studies import SMALL_GRAPH, STUDIES, TRAININGS  # noqa: E402 - scripts/ must be on the path

PRESET, CEILING = "`--preset retraining`", "noise ceiling"


def run(*words: object) -> Result:
    return CliRunner().invoke(evidence.command, [str(word) for word in words], catch_exceptions=False)


def numbers(text: str) -> dict[str, list[float]]:
    """Read the table of Markdown: the value in each cell, by the row's name."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    return {name: [float(re.match(r"-?[\d.]+", cell)[0]) for cell in cells if cell] for name, *cells in rows[2:]}


@pytest.fixture(scope="module")
def tables(data, tmp_path_factory) -> dict[str, dict[str, list[float]]]:
    """Make the small version of both tables; takes a minute."""
    out, found = tmp_path_factory.mktemp("evidence"), {}
    for name in STUDIES:
        done = run(name, "--small", "--data", data, "-o", out)
        assert done.exit_code == 0, done.output
        assert f"$ tracin-dask validate {name}" in done.output
        found[name] = numbers(done.output)
    return found


@pytest.mark.slow
def test_the_preset_predicts_models_of_random_halves_and_random_numbers_do_not(tables):
    """Bounds are loose: 16 subsets of one seed tell a score within about 0.15."""
    margin = {method: values[0] for method, values in tables["lds"].items()}
    assert margin[PRESET] > 0.2
    assert margin[PRESET] > margin["plain TracIn"] + 0.1
    assert abs(margin["a random number"]) < 0.2
    assert margin[PRESET] < margin[CEILING] + 0.15 < 1.15


@pytest.mark.slow
def test_predictions_fall_further_without_the_proponents_of_the_preset_than_without_random_neighbours(tables):
    chance = tables["deletion"]["a random training triple that touches the test triple"]
    assert all(ours > theirs for ours, theirs in zip(tables["deletion"][PRESET], chance, strict=True))


@pytest.mark.slow
def test_every_method_is_in_the_tables(tables):
    for name, study in STUDIES.items():
        lines = study.methods(SMALL_GRAPH).read_text().splitlines()[1:]
        assert {line.partition(": {")[0].strip('"') for line in lines} <= set(tables[name])


def test_every_graph_has_a_training():
    assert {graph for study in STUDIES.values() for graph in study.graphs} <= set(TRAININGS)


def test_numbers_of_several_seeds_are_averaged_and_their_errors_add_up(tmp_path):
    for seed, value in enumerate((0.4, 0.6)):
        (tmp_path / f"{seed}").mkdir()
        row = {"method": "plain", "condition": "", "measure": "margin", "value": value}
        pq.write_table(
            pa.Table.from_pylist([row | {"low": value - 0.3, "high": value + 0.4}]),
            tmp_path / f"{seed}" / "table.parquet",
        )
    (one,) = combined([tmp_path / "0", tmp_path / "1"]).values()
    assert one.value == pytest.approx(0.5)
    assert one.value - one.low == pytest.approx(0.3 * 2**0.5 / 2)
    assert one.high - one.value == pytest.approx(0.4 * 2**0.5 / 2)


def test_a_table_takes_its_place_in_a_document(tmp_path):
    document = tmp_path / "page.md"
    document.write_text("a\n<!-- lds: written by scripts/evidence -->\nold\n<!-- end of lds -->\nb\n")
    write_table(document, "lds", "| new |")
    text = document.read_text()
    assert "| new |" in text
    assert "old" not in text
    assert text.startswith("a\n")
    assert text.endswith("\nb\n")
    with pytest.raises(ValueError, match=r"page\.md needs the lines <!-- deletion: "):
        write_table(document, "deletion", "| new |")


def test_what_does_not_fit_is_refused(tmp_path):
    assert "lds has no graph nothing; it has umls" in run("lds", "--graph", "nothing").output
    assert "has no folder kinships" in run("lds", "--graph", "kinships", "--data", tmp_path, "-o", tmp_path).output
    page = ROOT / "docs" / "evidence.md"
    assert "leave out one of --small and --markdown" in run("lds", "--small", "--markdown", page).output
