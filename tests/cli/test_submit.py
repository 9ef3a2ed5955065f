"""`tracin-dask submit` without Slurm: output, and refusals before anything is queued."""

import pytest
import yaml

from tracin_dask.errors import ConfigError


@pytest.fixture
def words(project):
    """The options of a run whose files exist, because missing files are refused before anything is queued."""
    files = ["--model-path", f"{project.folder}/model.pt", "--train", f"{project.folder}/train.txt"]
    return [*files, "--mode", "self", "--output", "a.json"]


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("kind: slurm\njobs: 2\nwalltime: 01:00:00\nmemory_per_job: 4GiB\n")
    return path


def test_submit_dry_run_prints_the_script(tool, site, words):
    told = tool("submit", "--dry-run", site, *words).output
    assert "#SBATCH --nodes=2" in told
    assert f"-m tracin_dask.cli.allocation {site} {' '.join(words)}" in told


def test_submit_dry_run_prints_the_manifest_of_a_job_for_kubernetes(tool, tmp_path, words):
    path = tmp_path / "pods.yaml"
    path.write_text("kind: kubernetes\nimage: mine:1\nworkers: 2\nmemory_per_worker: 4GiB\n")
    manifest = yaml.safe_load(tool("submit", "--dry-run", path, *words).output)
    assert manifest["kind"] == "DaskJob"
    assert manifest["spec"]["cluster"]["spec"]["worker"]["replicas"] == 2
    (script,) = manifest["spec"]["job"]["spec"]["containers"][0]["args"][1:]
    assert f"exec python -m tracin_dask run {' '.join(words)} --cluster /tmp/cluster.yaml" in script


def test_submit_refuses_invalid_run_options_before_submitting(tool, site, words):
    told = tool("submit", "--dry-run", site, *words, "--top-k", "many")
    assert told.exit_code == 2
    assert "'many' is not a whole number from 1" in told.output
    assert told.output.startswith(f"Usage: tracin-dask submit {site}")


def test_help_after_the_specification_is_that_of_the_run(tool, site):
    told = tool("submit", site, "--help")
    assert told.exit_code == 0
    assert "--test-triple" in told.output


def test_submit_refuses_the_cluster_option(tool, site, words):
    with pytest.raises(ConfigError, match=r"submit runs on the workers of .*; leave --cluster out"):
        tool("submit", site, *words, "--cluster", "local")


def test_submit_refuses_a_specification_of_another_kind(tool, tmp_path, words):
    path = tmp_path / "here.yaml"
    path.write_text("kind: local\n")
    with pytest.raises(ConfigError, match="is not of kind slurm or kubernetes; `tracin-dask cluster init slurm`"):
        tool("submit", path, *words)
