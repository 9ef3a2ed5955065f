"""The cost of an ingest is measured stage by stage, on the tasks of the product."""

import sys
from pathlib import Path

from click.testing import CliRunner

sys.path.append(str(Path(__file__).parents[2] / "scripts"))

import ingest_cost


def test_every_stage_of_an_ingest_has_its_seconds(tmp_path):
    (tmp_path / "train.txt").write_text("".join(f"e{number % 50}\tr\te{number % 7}\n" for number in range(2000)))
    result = CliRunner().invoke(ingest_cost.command, [str(tmp_path / "train.txt")], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = {line[:40].strip(): float(line[40:]) for line in result.output.splitlines()}
    stages = list(found)
    assert (stages[0], stages[-1], len(stages)) == ("reading labels", "indexing tails", 10)
    assert found["reading and sorting triples"] > 0
