"""`tracin-dask convert`: one file or a folder, verified; existing files are replaced only on request."""

import re

import pytest
import torch

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.load import load_checkpoint

MISSING = "give --input and --output for one file, or --input-dir and --output-dir for a folder"


@pytest.fixture
def convert(project, tool, tmp_path):
    """Convert the project's model to PyKEEN's dialect with further options."""

    def run(*words):
        output = tmp_path / "pykeen.pt"
        result = tool("convert", "--input", project.folder / "model.pt", "--output", output, "--to", "pykeen", *words)
        assert result.exit_code == 0, result.output
        return output, result.output

    return run


@pytest.fixture
def folder(project, tmp_path):
    """A folder of checkpoints and other files."""
    for name in ("a.pt", "deep/b.pt", "c.bin"):
        path = tmp_path / "given" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((project.folder / "model.pt").read_bytes())
    return tmp_path / "given"


@pytest.fixture
def convert_folder(folder, tool, tmp_path):
    def run(*words):
        return tool("convert", "--input-dir", folder, "--output-dir", tmp_path / "made", "--to", "pykeen", *words)

    return run


def made_files(tmp_path):
    return sorted(str(path.relative_to(tmp_path / "made")) for path in (tmp_path / "made").rglob("*") if path.is_file())


def test_convert_writes_and_verifies_one_file(project, convert):
    output, told = convert("--verify")
    assert f"{project.folder}/model.pt (train_pytorch, images 4×6) -> {output} (pykeen, 6×4)" in told
    pattern = (
        r"10,000 random triples: scores differ by (\S+) at most, the largest \|score\| is \S+ \(the PyKEEN side was"
    )
    (difference,) = re.findall(pattern, told)
    assert float(difference) < 1e-12
    assert "scored by PyKEEN's own ConvE)" in told
    assert load_checkpoint(output).format.name == "pykeen"


def test_convert_compares_scores_only_with_verify(convert):
    assert "random triples" not in convert()[1]


def test_a_converted_model_gives_equal_influences_without_its_biases(convert, explain):
    common = ["--parameters", "*_embeddings.*", "bn*", "conv1.*", "fc.*"]
    given, made = explain(), explain(*common, model=convert()[0])
    assert made["learning_rate"] == given["learning_rate"]
    rows = [[entry["train_index"] for entry in result["influences"]] for result in (given, made)]
    assert rows[0] == rows[1]
    values = [[entry["influence"] for entry in result["influences"]] for result in (given, made)]
    assert values[1] == pytest.approx(values[0], rel=1e-4)


def test_convert_refuses_a_file_without_counterpart_and_gives_the_reason(convert, tool, tmp_path):
    output, _ = convert()
    contents = torch.load(output, weights_only=True)
    contents["model_state_dict"]["entity_representations.1._embeddings.weight"][3] = 0.25
    torch.save(contents, output)
    with pytest.raises(CheckpointError, match=r"pykeen\.pt: 1 of 40 entities have a bias other than 0"):
        tool("convert", "--input", output, "--output", tmp_path / "back.pt", "--to", "train_pytorch")
    assert not (tmp_path / "back.pt").exists()


def test_convert_keeps_the_file_names_of_a_folder(convert_folder, tmp_path):
    assert convert_folder("--verify").output.count("scores differ by") == 2
    assert made_files(tmp_path) == ["a.pt", "deep/b.pt"]


def test_convert_pattern_selects_files(convert_folder, tmp_path):
    convert_folder("--pattern", "*.bin")
    assert made_files(tmp_path) == ["c.bin"]
    with pytest.raises(ConfigError, match=r"has no files \*\.none; --pattern chooses others"):
        convert_folder("--pattern", "*.none")


def test_convert_reports_an_invalid_file_of_a_folder_and_continues(folder, tool, tmp_path):
    (folder / "a.pt").write_bytes(b"no torch file")
    words = ["convert", "--input-dir", folder, "--output-dir", tmp_path / "made", "--to", "pykeen"]
    with pytest.raises(CheckpointError, match="1 of 2 files were not converted, see above"):
        tool(*words)
    assert made_files(tmp_path) == ["deep/b.pt"]


def test_convert_replaces_files_only_with_overwrite(convert_folder, tmp_path):
    convert_folder()
    (tmp_path / "made" / "a.pt").unlink()
    with pytest.raises(ConfigError, match=r"b\.pt exists already; choose another output, or --overwrite"):
        convert_folder()
    assert made_files(tmp_path) == ["deep/b.pt"]
    assert convert_folder("--overwrite").exit_code == 0
    assert made_files(tmp_path) == ["a.pt", "deep/b.pt"]


def test_convert_never_replaces_its_input(folder, tool):
    with pytest.raises(ConfigError, match="is the input itself"):
        tool("convert", "--input", folder / "a.pt", "--output", folder / "a.pt", "--to", "pykeen", "--overwrite")
    for target in (folder, folder / "made"):
        with pytest.raises(ConfigError, match="lies in --input-dir"):
            tool("convert", "--input-dir", folder, "--output-dir", target, "--to", "pykeen", "--overwrite")


@pytest.mark.parametrize(
    "given", ["", "input", "input output_dir", "input_dir", "input output input_dir", "input output output_dir"]
)
def test_convert_refuses_incomplete_paths(folder, tool, given):
    places = {"input": folder / "a.pt", "output": "b.pt", "input_dir": folder, "output_dir": "made"}
    words = [word for name in given.split() for word in (f"--{name.replace('_', '-')}", places[name])]
    with pytest.raises(ConfigError, match=MISSING):
        tool("convert", "--to", "pykeen", *words)
