"""`tracin-dask run` refuses invalid input before any work, or at least before scoring."""

from pathlib import Path

import pytest

from tracin_dask.errors import CheckpointError, ConfigError, MemoryLimitError, ResultError


class TestRefusedBeforeAnyWork:
    """Refusals that come before anything is ingested."""

    @pytest.fixture
    def refuse(self, project, tool, tmp_path):
        def run(match, *words):
            with pytest.raises(ConfigError, match=match):
                tool("run", *project.options(), "--cache-dir", tmp_path / "cache", *words)
            assert not (tmp_path / "cache").exists()

        return run

    def test_run_refuses_a_missing_output(self, refuse):
        refuse(r"where the result goes: --output FILE\.json, or --output-dir FOLDER", "--test-triple", 1, 2, 3)

    def test_run_refuses_one_file_for_two_outputs(self, refuse, tmp_path):
        words = ["--mode", "self", "--group-by", "head", "--output", tmp_path / "a.json", "--save-groups"]
        refuse(r"a\.groups\.parquet would be written twice; .* different names", *words, tmp_path / "a.groups.parquet")

    def test_run_refuses_a_folder_as_output_file(self, project, refused, tmp_path):
        words = ["--test-triple", 1, 2, 3, "--output", tmp_path]
        assert f"{tmp_path} is a folder; name a file in it" in refused("run", *project.options(), *words)

    @pytest.mark.parametrize(("name", "found"), [("why.txt", "ends in .txt"), ("why", "has no suffix")])
    def test_run_refuses_an_output_with_an_unknown_suffix(self, project, refused, tmp_path, name, found):
        words = ["--mode", "self", "--output", tmp_path / name, "--cache-dir", tmp_path / "cache"]
        message = refused("run", *project.options(), *words)
        assert f"{name}: {found}, but the suffix chooses the format of a result: .json" in message
        assert not (tmp_path / "cache").exists()

    def test_run_refuses_overwrite_without_output_dir(self, refuse, tmp_path):
        words = ["--mode", "self", "--output", tmp_path / "a.json"]
        refuse("--overwrite is for --output-dir; a file of --output is replaced anyway", *words, "--overwrite")

    def test_run_refuses_a_file_as_output_dir(self, refuse, project):
        target = project.folder / "train.txt"
        refuse(
            f"the result cannot be written to {target}: a file of this name is in the way",
            "--mode",
            "self",
            "--output-dir",
            target,
        )

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
    def test_run_refuses_an_output_dir_that_cannot_be_written(self, refuse):
        refuse("the result cannot be written to /proc", "--mode", "self", "--output", "/proc/influence.json")

    def test_run_names_options_as_the_command_line_does(self, refuse, tmp_path, monkeypatch):
        def refused(*_: object) -> None:
            raise ConfigError("top_k must be smaller")

        monkeypatch.setattr("tracin_dask.cli.actions.run.explain", refused)
        refuse(r"^--top-k must be smaller", "--mode", "self", "--output", tmp_path / "a.json")

    def test_run_refuses_missing_test_triples(self, refuse, tmp_path):
        refuse("say what to explain: --test-triple H R T", "--output", tmp_path / "a.json")

    def test_run_refuses_test_triple_together_with_a_test_file(self, refuse, project, tmp_path):
        both = ["--test", project.folder / "train.txt", "--test-triple", 1, 2, 3]
        refuse("--test-triple and --test both say", *both, "--output", tmp_path / "a.json")

    def test_run_refuses_a_test_triple_in_mode_self(self, refuse, tmp_path):
        refuse("--mode self is about", "--mode", "self", "--test-triple", 1, 2, 3, "--output", tmp_path / "a.json")

    @pytest.mark.parametrize(
        ("words", "match"),
        [
            (["--num-last-layers", 3], "counts only with --use-last-layers-only"),
            (["--use-last-layers-only", "--parameters", "fc.*"], "give only one of them"),
            (["--precision", "bf16", "--use-mixed-precision"], "give only one of them"),
            (["--precision", "tf32", "--device", "cpu"], "tf32 is a format of GPUs"),
            (["--cluster", "nonsense"], "unknown cluster 'nonsense'; expected auto, local"),
        ],
    )
    def test_run_refuses_invalid_option_values(self, refuse, tmp_path, words, match):
        refuse(match, "--mode", "self", "--output", tmp_path / "a.json", *words)

    @pytest.mark.parametrize("size", ["abc", "1.5"])
    def test_run_refuses_a_batch_size_that_is_not_a_number(self, project, refused, tmp_path, size):
        words = ["--mode", "self", "--output", tmp_path / "a.json", "--batch-size", size]
        message = refused("run", *project.options(), *words)
        assert f"'{size}' is not a whole number from 1 to 1,000,000,000, or auto." in message


class TestRefusedBeforeScoring:
    def test_run_refuses_many_test_triples_in_one_output_file(self, project, tool, tmp_path):
        file = tmp_path / "test.txt"
        file.write_text("1 2 3\n3 2 1\n")
        with pytest.raises(
            ResultError,
            match=r"there are 2 answers and a \.json file takes one; write .*folder",
        ):
            tool("run", *project.options(), "--test", file, "--output", tmp_path / "a.json")

    def test_run_refuses_a_checkpoint_that_does_not_fit_the_id_maps(self, explain, project, tmp_path):
        more = tmp_path / "more.txt"
        more.write_text((project.folder / "node_dict.txt").read_text() + "CHEBI:new\t40\n")
        with pytest.raises(CheckpointError, match="was trained with 40 entities, the id map has 41"):
            explain("--entity-to-id", more)

    def test_run_refuses_too_little_memory_with_both_numbers(self, explain):
        match = r"needs about 4\d\d MiB per worker .* may take 100 MiB; .*what helps most is more memory per worker"
        with pytest.raises(MemoryLimitError, match=match):
            explain("--memory-per-worker", "100MiB")

    def test_run_refuses_a_missing_gpu(self, explain, monkeypatch):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        with pytest.raises(ConfigError, match="finds no GPU in this process; leave --device out"):
            explain("--device", "cuda")
        assert explain()["run"]["device"] == "cpu"  # nothing is left that would be in the way of another try
