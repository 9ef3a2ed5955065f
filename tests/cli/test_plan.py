"""`tracin-dask plan`: cost of a run."""

import pytest

from tracin_dask.errors import ConfigError, MemoryLimitError


class TestCommand:
    @pytest.fixture
    def plan(self, project, tool):
        """Return the lines of the plan by their titles."""

        def run(*words, model=None):
            result = tool("plan", *project.options(model), *words, "--verbose")
            assert result.exit_code == 0, result.output
            pairs = (line.strip().split("  ", 1) for line in result.stdout.splitlines() if "  " in line.strip())
            return {name: text.strip() for name, text in pairs}

        return run

    def test_plan_prints_tasks_memory_engine_and_multiply_adds(self, plan, project):
        found = plan("--test-triple", *project.test_ids, "--batch-size", 100)
        assert found["what"] == "600 training triples on 1 test triple"
        assert found["where"] == "this process (a small job)"
        assert found["engine"].startswith("forward mode: directions per (head, relation), relation")
        assert found["tasks"] == "3 of 200 triples, in batches of 100"
        assert found["memory per worker"].startswith("about 4")
        for name in ("multiply-adds", "forward", "lower", "products"):
            assert float(found[name].split(",")[0]) > 0
        assert found["tracked"].startswith("12 parameter tensors: bn0.bias, bn0.weight")

    def test_plan_prints_the_memory_of_the_preconditioner(self, plan, adam, project):
        words = ["--test-triple", *project.test_ids, "--parameters", "*"]
        plain, scaled = (plan(*words, "--preconditioner", way, model=adam[0]) for way in ("none", "adam"))
        assert "preconditioner" not in plain
        assert scaled["preconditioner"].startswith("adam, as large as the tracked tensors")
        assert float(scaled["products"].split(",")[0]) > float(plain["products"].split(",")[0])

    def test_plan_scores_nothing_and_writes_no_result(self, plan, project, tmp_path, monkeypatch):
        def fail(*_, **__):
            raise AssertionError("a plan scores nothing")

        monkeypatch.setattr("tracin_dask.runs.work.score.score_rows", fail)
        monkeypatch.chdir(tmp_path)
        plan("--test-triple", *project.test_ids)
        assert list(tmp_path.iterdir()) == []

    def test_plan_names_many_test_triples_and_self_influence(self, plan, tmp_path):
        (tmp_path / "test.txt").write_text("1 2 3\n3 2 1\n")
        assert plan("--test", tmp_path / "test.txt")["what"] == "600 training triples on 2 test triples"
        assert plan("--mode", "self")["what"] == "600 training triples on themselves (self-influence)"

    def test_plan_uses_the_options_of_run(self, plan):
        words = [
            "--cluster",
            "local",
            "--workers",
            2,
            "--memory-per-worker",
            "1GiB",
            "--parameters",
            "fc.*",
            "bn2.bias",
        ]
        found = plan("--mode", "self", *words)
        assert found["where"] == "2 workers × 1 thread on this machine's CPUs"
        assert found["memory per worker"].endswith("of 1,024 MiB")
        assert found["tracked"] == "3 parameter tensors: bn2.bias, fc.bias, fc.weight"

    @pytest.mark.parametrize("normalize", ["cosine", "relatif"])
    def test_plan_counts_training_gradients_of_normalised_runs(self, plan, project, normalize):
        plain, divided = (plan("--test-triple", *project.test_ids, "--normalize", way) for way in ("none", normalize))
        assert "normalized" not in plain
        assert normalize in divided["normalized"]
        assert float(divided["multiply-adds"]) > 2 * float(plain["multiply-adds"])

    def test_plan_refuses_the_same_inputs_as_run(self, tool, project):
        for match, words in {
            "say what to explain": [],
            "unknown cluster 'here'": ["--mode", "self", "--cluster", "here"],
            "but a worker may take 100 MiB": ["--mode", "self", "--memory-per-worker", "100MiB"],
        }.items():
            with pytest.raises((ConfigError, MemoryLimitError), match=match):
                tool("plan", *project.options(), *words)
