"""The rules of Snakemake, from text files to pages, an evaluation and paths."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UMLS = ROOT / "tests" / "data" / "umls"
pytestmark = pytest.mark.skipif(shutil.which("snakemake") is None, reason="Snakemake is not installed")


@pytest.mark.slow
def test_a_workflow_makes_everything_once_and_again_only_what_changed(tmp_path):
    lines = (UMLS / "test.txt").read_text().splitlines()[:4]
    (tmp_path / "test.txt").write_text("\n".join(lines) + "\n")
    known = (UMLS / "train.txt").read_text().splitlines()[:50]
    edges = [dict(zip(("subject", "predicate", "object"), line.split("\t"), strict=True)) for line in known]
    (tmp_path / "edges.jsonl").write_text("\n".join(map(json.dumps, edges)))
    config = {name: str(UMLS / f"{name}.txt") for name in ("train", "valid")}
    config |= {"test": "test.txt", "edges": "edges.jsonl", "run_options": "--preset retraining --top-k 20"}
    config["train_options"] = "--embedding-dim 12 --output-channels 4 --num-epochs 2"
    (tmp_path / "my.json").write_text(json.dumps(config))
    first = snakemake(tmp_path)
    why = tmp_path / "results" / "why"
    assert json.loads((why / "summary.json").read_text())["num_results"] == 4
    assert len(list((why / "report").glob("triple_*.html"))) == len(list((why / "report").glob("*.csv"))) == 4
    assert (why / "evaluation" / "evaluation.json").exists()
    assert (why / "paths.csv").read_text().startswith("test_index,")
    assert "rule train" in first
    assert "Nothing to be done" in snakemake(tmp_path)
    os.utime(tmp_path / "test.txt")
    (tmp_path / "test.txt").write_text("\n".join(lines[:3]) + "\n")
    again = snakemake(tmp_path)
    assert "rule influence" in again
    assert "rule train" not in again
    assert json.loads((why / "summary.json").read_text())["num_results"] == 3


@pytest.mark.slow
def test_a_workflow_takes_id_maps_and_marks_known_explanations_anew(tmp_path):
    labels = sorted({word for line in (UMLS / "train.txt").read_text().splitlines() for word in line.split("\t")[::2]})
    kinds = sorted({line.split("\t")[1] for line in (UMLS / "train.txt").read_text().splitlines()})
    for name, found in (("entities.tsv", labels), ("relations.tsv", kinds)):
        (tmp_path / name).write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(found)))
    (tmp_path / "test.txt").write_text((UMLS / "test.txt").read_text().splitlines()[0] + "\n")
    (tmp_path / "truth.txt").write_text((UMLS / "train.txt").read_text().splitlines()[0] + "\n")
    config = {name: str(UMLS / f"{name}.txt") for name in ("train", "valid")}
    config |= {"test": "test.txt", "truth": "truth.txt"}
    config |= {"entity_to_id": "entities.tsv", "relation_to_id": "relations.tsv"}
    config["train_options"] = "--embedding-dim 12 --output-channels 4 --num-epochs 1"
    (tmp_path / "my.json").write_text(json.dumps(config))
    snakemake(tmp_path)
    assert not (tmp_path / "results" / "model" / "entity_to_id.tsv").exists()
    (tmp_path / "truth.txt").write_text((UMLS / "train.txt").read_text().splitlines()[1] + "\n")
    again = snakemake(tmp_path)
    assert "rule report" in again
    assert "rule evaluate" in again
    assert "rule influence" not in again


def snakemake(folder: Path) -> str:
    command = ["snakemake", "--snakefile", ROOT / "scripts" / "workflow" / "Snakefile", "--configfile", "my.json"]
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [*map(str, command), "--cores", "1"],
        cwd=folder,
        env=os.environ | {"PATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr
