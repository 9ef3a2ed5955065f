"""`tracin-dask split`: files, counts, what is said, and refusals."""

import hashlib
import json

import pytest

from tracin_dask.errors import ConfigError, StoreError, TriplesError

ENTITIES = [f"CHEBI:{number}" for number in range(12)]
LINES = [
    f"{head}\tr{(row + place) % 2}\t{tail}" for row, head in enumerate(ENTITIES) for place, tail in enumerate(ENTITIES)
]
LINES += LINES[:3]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kg.txt").write_text("".join(f"{line}\n" for line in LINES))


def read(path):
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def split(tool):
    def run(*words, triples="kg.txt", output="parts"):
        result = tool("split", triples, "-o", output, *words)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_the_files_hold_the_parts_and_the_json_says_how_they_were_made(split, tmp_path):
    said = split("--valid", "5", "--test", "0.05")
    parts = {name: read(tmp_path / "parts" / f"{name}.txt") for name in ("train", "valid", "test")}
    removed = [line.rsplit("\t", 1) for line in read(tmp_path / "parts/removed.txt")]
    every = [line for lines in parts.values() for line in lines] + [line for line, _ in removed]
    assert sorted(every) == sorted(set(LINES))
    assert {reason for _, reason in removed} <= {"same pair", "inverse pair"}
    stated = json.loads((tmp_path / "parts/split.json").read_text())
    assert stated["input"]["sha256"] == hashlib.sha256((tmp_path / "kg.txt").read_bytes()).hexdigest()
    assert stated["options"]["seed"] == 0
    assert stated["removed"]["duplicates"] == 3
    assert stated["removed"]["same pair"] + stated["removed"]["inverse pair"] == len(removed) > 0
    for name, lines in parts.items():
        assert stated["counts"][name] == stated["files"][name]["triples"] == len(lines)
        data = (tmp_path / "parts" / f"{name}.txt").read_bytes()
        assert stated["files"][name]["sha256"] == hashlib.sha256(data).hexdigest()
    assert "duplicates        3 lines repeat an earlier one" in said
    assert "Next: tracin-dask train --train parts/train.txt --valid parts/valid.txt --test parts/test.txt" in said


def test_a_store_a_text_and_another_order_of_lines_give_the_same_parts(split, tool, tmp_path):
    split("--of-relation", "r1")
    tool("ingest", "kg.txt", "-o", "kg.zarr")
    split("--of-relation", "r1", triples="kg.zarr", output="of-store")
    (tmp_path / "turned.txt").write_text("".join(f"{line}\n" for line in reversed(LINES)))
    split("--of-relation", "r1", triples="turned.txt", output="turned")
    for name in ("train", "valid", "test", "removed"):
        assert (tmp_path / f"parts/{name}.txt").read_bytes() == (tmp_path / f"of-store/{name}.txt").read_bytes()
        assert sorted(read(tmp_path / f"turned/{name}.txt")) == sorted(read(tmp_path / f"parts/{name}.txt"))
    assert {line.split("\t")[1] for line in read(tmp_path / "parts/test.txt")} == {"r1"}


def test_ids_stay_ids_and_relations_may_be_named_by_them(split, tmp_path):
    numbered = "".join(f"{one}\t{(one + two) % 2}\t{two}\n" for one in range(9) for two in range(9))
    (tmp_path / "ids.txt").write_text(numbered)
    split("--of-relation", "1", "--valid", "0", "--remove-pairs", "none", triples="ids.txt")
    test = read(tmp_path / "parts/test.txt")
    assert {line.split("\t")[1] for line in test} == {"1"}
    assert not (tmp_path / "parts/valid.txt").exists()
    assert set(test) <= set(numbered.splitlines())


def test_triples_of_pykeen_are_written_by_their_labels(split, tmp_path):
    split("--remove-pairs", "none", triples="pykeen:nations")
    assert {line.split("\t")[0] for line in read(tmp_path / "parts/train.txt")} >= {"brazil", "usa"}


def test_columns_of_a_table_are_read_and_labels_stay_as_they_are(split, tmp_path):
    rows = "".join(f"{line.replace('CHEBI:1', 'x é').replace(chr(9), ',')},source\n" for line in LINES)
    (tmp_path / "kg.csv").write_text(f"subject,predicate,object,source\n{rows}")
    words = ("--columns", "subject,predicate,object", "--delimiter", ",", "--header")
    split(*words, triples="kg.csv")
    assert any("x é" in line for line in read(tmp_path / "parts/train.txt"))


def test_chosen_test_triples_stay_in_the_test_part(split, tmp_path):
    chosen = [LINES[7], LINES[30], LINES[30]]
    (tmp_path / "keep.txt").write_text("".join(f"{line}\n" for line in chosen))
    said = split("--keep-test", "keep.txt", "--test", "4", "--valid", "0")
    assert set(chosen) <= set(read(tmp_path / "parts/test.txt"))
    assert json.loads((tmp_path / "parts/split.json").read_text())["counts"]["kept_in_test"] == 2
    assert "2 of them by --keep-test" in said


def test_chosen_test_triples_that_are_not_there_are_named_by_their_lines(tool, split, tmp_path):
    (tmp_path / "keep.txt").write_text(f"{LINES[7]}\nCHEBI:0\tr0\tCHEBI:1\nCHEBI:0\tr0\tCHEBI:99\n{LINES[2]}\n")
    words = ["split", "kg.txt", "-o", "parts", "--keep-test", "keep.txt", "--of-relation", LINES[7].split("\t")[1]]
    with pytest.raises(TriplesError) as refused:
        tool(*words)
    for part in (
        "keep.txt, line 2: no triple of the graph: 'CHEBI:0\\tr0\\tCHEBI:1'",
        "keep.txt, line 3: unknown tail label",
        "keep.txt, line 4: relation that --of-relation does not name",
        "--skip-invalid",
    ):
        assert part in str(refused.value)
    said = split("--keep-test", "keep.txt", "--of-relation", LINES[7].split("\t")[1], "--skip-invalid", "--test", "1")
    assert read(tmp_path / "parts/test.txt") == [LINES[7]]
    assert "--keep-test: 1 triples" in said


def test_a_chosen_test_triple_that_would_be_untrained_is_named_by_its_line(tool, tmp_path):
    (tmp_path / "kg.txt").write_text("".join(f"{line}\n" for line in [*LINES, "new\tr0\tCHEBI:3"]))
    (tmp_path / "keep.txt").write_text(f"{LINES[7]}\nnew\tr0\tCHEBI:3\n")
    with pytest.raises(TriplesError, match=r"keep.txt, line 2: 'new\\tr0\\tCHEBI:3': its head or tail would have no"):
        tool("split", "kg.txt", "-o", "parts", "--keep-test", "keep.txt")
    assert not (tmp_path / "parts").exists()


def test_an_earlier_split_is_replaced_only_on_demand_and_other_folders_never(tool, split, tmp_path):
    split()
    with pytest.raises(StoreError, match=r"parts: exists already; choose another output, or pass --overwrite"):
        tool("split", "kg.txt", "-o", "parts")
    before = read(tmp_path / "parts/test.txt")
    split("--seed", "5", "--overwrite")
    assert read(tmp_path / "parts/test.txt") != before
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="other: exists, and is no earlier split"):
        tool("split", "kg.txt", "-o", "other", "--overwrite")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--of-relation", "r2"], r"--of-relation r2: none of the 2 relations of the graph: r0, r1"),
        (["--valid", "0", "--test", "0"], "hold nothing out"),
        (["--labels", "--ids"], "contradict each other"),
    ],
)
def test_options_that_make_no_sense_are_refused(tool, words, message):
    with pytest.raises(ConfigError, match=message):
        tool("split", "kg.txt", "-o", "parts", *words)


@pytest.mark.parametrize("share", ["1.5", "-1", "nan", "1.0", "many"])
def test_what_is_neither_a_fraction_nor_a_number_is_refused(refused, share):
    assert "neither a fraction such as 0.1 nor a number" in refused("split", "kg.txt", "-o", "parts", "--test", share)


def test_options_of_a_text_file_are_refused_for_a_store(tool):
    tool("ingest", "kg.txt", "-o", "kg.zarr")
    with pytest.raises(ConfigError, match=r"--skip-invalid, --delimiter: only for a text file"):
        tool("split", "kg.zarr", "-o", "parts", "--delimiter", ",", "--skip-invalid")


def test_much_of_the_training_set_that_is_taken_out_is_said(split):
    assert "much of the training set was taken out" in split("--test", "0.3")
    assert "much of" not in split("--remove-pairs", "none", output="none")
