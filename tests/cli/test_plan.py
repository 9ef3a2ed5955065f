"""`tracin-dask plan`: cost of a run, and where it would run."""

import pytest

from tracin_dask.cli import planning
from tracin_dask.cli.planning import plan_here
from tracin_dask.clusters.spec import parse_spec
from tracin_dask.errors import ConfigError, MemoryLimitError
from tracin_dask.models.checkpoints.checkpoint import load_checkpoint
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.prepare import prepare
from tracin_dask.triples.ingest import ingest

AUTO, LOCAL = parse_spec("auto"), parse_spec("local")
NOTHING_SAID = {"workers": None, "threads_per_worker": None, "memory_per_worker": None, "device": "cpu"}
MIB = 2**20


class TestCommand:
    @pytest.fixture
    def plan(self, project, tool):
        """Return the lines of the plan by their titles."""

        def run(*words, model=None):
            result = tool("plan", *project.options(model), *words)
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
        assert found["where"] == "2 local worker(s) × 1 thread(s)"
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


class TestPlace:
    @pytest.fixture
    def prepared(self, project, tmp_path, monkeypatch):
        """A run of the project's triples on a machine of four CPUs and 4 GiB without a GPU."""
        monkeypatch.setattr(planning, "cpu_count", lambda: 4)
        monkeypatch.setattr(planning, "memory_limit", lambda: 4096 * MIB)
        monkeypatch.setattr(planning, "gpu_count", lambda: 0)
        maps = {"entity_to_id": project.folder / "node_dict.txt", "relation_to_id": project.folder / "rel_dict.txt"}
        store = ingest(project.folder / "train.txt", tmp_path / "graph.zarr", **maps)
        return prepare(store, load_checkpoint(project.folder / "model.pt"), config=RunConfig(mode="self"))

    def test_a_small_job_runs_in_this_process_with_all_threads(self, prepared):
        plan, is_local, where = plan_here(prepared, NOTHING_SAID, AUTO)
        assert (is_local, where) == (False, "this process (a small job)")
        assert (plan.resources.num_workers, plan.resources.threads_per_worker) == (1, 4)

    def test_a_large_job_gets_one_worker_per_cpu(self, prepared, monkeypatch):
        monkeypatch.setattr(planning, "SMALL_JOB_SECONDS", 0.0)
        plan, is_local, where = plan_here(prepared, NOTHING_SAID, AUTO)
        assert (is_local, where) == (True, "4 local worker(s) × 1 thread(s)")
        assert plan.resources.memory_bytes == int(0.8 * 1024 * MIB)

    def test_auto_prints_that_it_uses_cpus_because_there_is_no_gpu(self, prepared, monkeypatch):
        monkeypatch.setattr(planning, "SMALL_JOB_SECONDS", 0.0)
        monkeypatch.setattr(planning, "gpu_count", lambda: 0)
        where = plan_here(prepared, NOTHING_SAID | {"device": "auto"}, AUTO)[2]
        assert where == "4 local worker(s) × 1 thread(s), as there is no GPU here"

    @pytest.mark.parametrize("spec", [AUTO, LOCAL])
    def test_explicit_worker_options_start_workers_even_for_a_small_job(self, prepared, spec):
        plan, is_local, _ = plan_here(prepared, NOTHING_SAID | {"workers": 2}, spec)
        assert is_local
        assert (plan.resources.num_workers, plan.resources.threads_per_worker) == (2, 2)

    def test_cluster_local_starts_workers_even_for_a_small_job(self, prepared):
        assert plan_here(prepared, NOTHING_SAID, LOCAL)[1]

    def test_a_single_gpu_keeps_the_job_in_this_process(self, prepared, monkeypatch):
        monkeypatch.setattr(planning, "SMALL_JOB_SECONDS", 0.0)
        monkeypatch.setattr(planning, "gpu_count", lambda: 1)
        assert plan_here(prepared, NOTHING_SAID | {"device": "auto"}, AUTO)[1:] == (False, "this process, on its GPU")
        assert plan_here(prepared, NOTHING_SAID, AUTO)[1]

    def test_short_memory_lowers_the_default_number_of_workers(self, prepared, monkeypatch):
        monkeypatch.setattr(planning, "memory_limit", lambda: 1200 * MIB)
        plan, _, where = plan_here(prepared, NOTHING_SAID, LOCAL)
        assert where == "2 local worker(s) × 2 thread(s)"
        assert plan.memory.total <= plan.resources.memory_bytes == int(0.8 * 600 * MIB)

    def test_a_machine_too_small_for_one_worker_is_refused(self, prepared, monkeypatch):
        monkeypatch.setattr(planning, "memory_limit", lambda: 400 * MIB)
        with pytest.raises(MemoryLimitError, match="but a worker may take 320 MiB"):
            plan_here(prepared, NOTHING_SAID, LOCAL)

    def test_an_explicit_number_of_workers_is_not_lowered(self, prepared, monkeypatch):
        monkeypatch.setattr(planning, "memory_limit", lambda: 1200 * MIB)
        with pytest.raises(MemoryLimitError, match="but a worker may take 240 MiB"):
            plan_here(prepared, NOTHING_SAID | {"workers": 4}, LOCAL)
