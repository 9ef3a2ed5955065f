"""`run` explains a checkpoint of LibKGE's with LibKGE's id maps, by the commands of the docs, and says what it is."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from influence.any_model import ask
from models.other_programs import (
    NUM_ENTITIES,
    NUM_RELATIONS,
    Kelpie,
    LibKGEModel,
    Reciprocal,
    Rows,
    complex_,
    fill,
    options_of,
    write_libkge,
)

from tracin_dask.errors import CheckpointError

DOCS = (Path(__file__).parents[2] / "docs" / "other-models.md").read_text()


def test_a_training_of_libkge_with_reciprocal_relations_is_explained_as_the_docs_say(tool, tmp_path):
    model = Reciprocal(fill(LibKGEModel(Rows(complex_), 6, 6)))
    write_libkge(tmp_path / "checkpoint_best.pt", model, options_of("complex", reciprocal=True))
    ids = np.random.default_rng(0).integers((NUM_ENTITIES, NUM_RELATIONS // 2, NUM_ENTITIES), size=(30, 3))
    lines = [f"e{head}\tr{relation}\te{tail}\n" for head, relation, tail in ids]
    (tmp_path / "train.txt").write_text("".join(lines))
    (tmp_path / "entity_ids.del").write_text("".join(f"{number}\te{number}\n" for number in range(NUM_ENTITIES)))
    (tmp_path / "relation_ids.del").write_text("0\tr0\n1\tr1\n")
    commands = re.findall(r"^awk .*", DOCS, flags=re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True)

    words = ["--model-path", tmp_path / "checkpoint_best.pt", "--train", tmp_path / "both.txt"]
    words += ["--entity-to-id", tmp_path / "entity_ids.del", "--relation-to-id", tmp_path / "relations.del"]
    words += ["--cache-dir", tmp_path / "cache", "--threads-per-worker", 1, "--learning-rate", 1, "--top-k", 60]
    ran = tool("run", *words, "--test-triple", *lines[0].split(), "--output", tmp_path / "why.json")
    assert ran.exit_code == 0, ran.output
    note = "recognised as LibKGE's scorer complex; the reciprocal of relation r, of R relations, is in row R + r"
    assert f"checkpoint_best.pt: {note}" in ran.output

    result = json.loads((tmp_path / "why.json").read_text())
    assert result["run"]["checkpoints"][0]["notes"] == [note]
    both = torch.from_numpy(np.concatenate([ids, ids[:, ::-1] + [0, NUM_RELATIONS // 2, 0]]))
    expected = sum(ask(model, both, both[:1]).products.values()).flatten()
    found = torch.zeros(60, dtype=torch.float64)
    for line in result["influences"]:
        found[line["train_index"]] = line["influence"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.fault("inverse relations where the model does not have them", promised="one message with the order")
def test_a_relation_map_whose_inverses_are_not_where_kelpie_has_them_is_refused(tool, tmp_path):
    torch.save(fill(Kelpie()).state_dict(), tmp_path / "kelpie.pt")
    (tmp_path / "train.txt").write_text("e0\tr0\te1\ne1\tr1\te2\n")
    (tmp_path / "entities.tsv").write_text("".join(f"e{number}\t{number}\n" for number in range(NUM_ENTITIES)))
    words = ["--model-path", tmp_path / "kelpie.pt", "--train", tmp_path / "train.txt", "--mode", "self"]
    words += ["--entity-to-id", tmp_path / "entities.tsv", "--relation-to-id", tmp_path / "relations.tsv"]
    words += ["--cache-dir", tmp_path / "cache", "--threads-per-worker", 1]
    (tmp_path / "relations.tsv").write_text("r0\t0\nINVERSE_r0\t1\nr1\t2\nINVERSE_r1\t3\n")
    with pytest.raises(CheckpointError, match=r"have relation r and its inverse in the rows r, R \+ r"):
        tool("plan", *words)
    (tmp_path / "relations.tsv").write_text("r0\t0\nr1\t1\nINVERSE_r0\t2\nINVERSE_r1\t3\n")
    planned = tool("plan", *words)
    assert planned.exit_code == 0, planned.output
    assert "kelpie.pt: recognised as a ConvE of Kelpie" in planned.output
