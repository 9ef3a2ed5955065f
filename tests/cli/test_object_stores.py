"""Commands between URLs of an S3 server on loopback: they find what they find between files, bit for bit."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from distributed import LocalCluster
from loopback_store import Proxy

from tracin_dask import read_result
from tracin_dask.errors import ClusterError, ConfigError, ObjectStoreError, PlaceError
from tracin_dask.models.conve.load import load_conve
from tracin_dask.places.files import exists, read_bytes, write_bytes
from tracin_dask.places.objects.client import LIMIT
from tracin_dask.places.objects.folder import keys_below
from tracin_dask.places.registry import place_of
from tracin_dask.triples.store import open_store

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
"""If the port of the dashboard is in use, Tornado leaves a socket to the garbage collector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """The project's files at URLs, and its store."""

    proxy: Proxy
    folder: str
    test_ids: list[str]

    @property
    def options(self) -> list[str]:
        files = ["--model-path", f"{self.folder}/model.pt", "--train", f"{self.folder}/graph.zarr"]
        return [*files, "--threads-per-worker", "1", "--cache-dir", f"{self.folder}/cache"]


@pytest.fixture
def there(s3, s3_folder, project, tool):
    for path in project.folder.iterdir():
        if path.is_file():
            write_bytes(f"{s3_folder}/{path.name}", path.read_bytes())
    maps = ["--entity-to-id", f"{s3_folder}/node_dict.txt", "--relation-to-id", f"{s3_folder}/rel_dict.txt"]
    done = tool("ingest", f"{s3_folder}/train.txt", "-o", f"{s3_folder}/graph.zarr", *maps)
    assert done.exit_code == 0, done.output
    return There(proxy=s3, folder=s3_folder, test_ids=project.test_ids)


@pytest.fixture
def here(project, tool, tmp_path):
    """Run on the files of the project, with a folder for what is written, and give the result."""

    def run(*words):
        done = tool("run", *project.options(), *words, "--output", tmp_path / "why.json")
        assert done.exit_code == 0, done.output
        return tmp_path

    return run


def influences(folder: str | Path) -> list[dict]:
    return json.loads(read_bytes(f"{folder}/why.json"))["influences"]


@pytest.mark.fault("an object store fails every fifth request of a run", promised="the same bits")
def test_a_run_between_urls_of_a_store_that_fails_gives_the_same_bits(there, here, tool, tmp_path, seen):
    lines = dict.fromkeys(read_bytes(f"{there.folder}/train.txt").decode().splitlines())
    sources = "".join(f"{line}\tsource {number % 3}\n" for number, line in enumerate(lines)).encode()
    for folder in (there.folder, tmp_path):
        write_bytes(f"{folder}/sources.tsv", sources)
    there.proxy.fails_every = 5

    def words(folder: str | Path) -> list[str]:
        asked = ["--test-triple", *there.test_ids, "--top-k", "5", "--batch-size", "64"]
        more = ["--group-by", f"{folder}/sources.tsv", "--save-scores", f"{folder}/scores.zarr"]
        return [*asked, *more, "--save-groups", f"{folder}/groups.parquet"]

    done = tool("run", *there.options, *words(there.folder), "--output", f"{there.folder}/why.json")
    assert done.exit_code == 0, done.output
    here(*words(tmp_path))
    assert influences(there.folder) == influences(tmp_path)
    tables = [io.BytesIO(read_bytes(f"{folder}/groups.parquet")) for folder in (there.folder, tmp_path)]
    assert pq.read_table(tables[0]).equals(pq.read_table(tables[1]))
    chunks = sorted(path.relative_to(tmp_path) for path in (tmp_path / "scores.zarr").rglob("c/*/*"))
    assert len(chunks) > 3
    for chunk in chunks:
        assert read_bytes(f"{there.folder}/{chunk}") == (tmp_path / chunk).read_bytes()
    for left in ("*.progress/*", "*.lock", "*.check", "*.part/*"):
        assert not place_of(there.folder).find(left)
    assert there.proxy.num_failed > 20
    seen("the same bits; a fifth of all requests was sent again")


def test_every_command_takes_urls(there, tool):
    asked, url = ["--test-triple", *there.test_ids], there.folder
    for words in (
        ["run", *there.options, *asked, "--top-k", 5, "--output-dir", f"{url}/why"],
        ["show", f"{url}/why"],
        ["report", f"{url}/why", "--html", "--csv"],
        ["predict", *there.options[:4], *asked, "--output", f"{url}/ranks.csv"],
        ["plan", *there.options, *asked],
        ["graph", f"{url}/train.txt", "--test", f"{url}/train.txt", "--json", f"{url}/graph.json"],
        ["convert", "--input", f"{url}/model.pt", "--output", f"{url}/pykeen.pt", "--to", "pykeen", "--verify"],
        ["split", f"{url}/train.txt", "--output", f"{url}/split"],
        ["example", f"{url}/umls"],
    ):
        done = tool(*words)
        assert done.exit_code == 0, done.output
    assert read_result(f"{url}/why").rankings[0].influence.size == 5
    for written in (
        "why/report/index.html",
        "ranks.csv",
        "graph.json",
        "pykeen.pt",
        "split/train.txt",
        "umls/test.txt",
    ):
        assert exists(f"{url}/{written}")


def explanations(project) -> dict[str, str]:
    """What is known of the project's test triple, and the types of its entities, as files by their names."""
    head, _, tail = project.test_labels
    lines = (project.folder / "train.txt").read_text().splitlines()
    edge = dict(zip(("subject", "predicate", "object"), lines[0].split("\t"), strict=True))
    between = ", ".join(line.split("\t")[2] for line in lines if line.startswith(f"{head}\t"))
    return {
        "test.txt": "".join(f"{line}\n" for line in lines[5:8]),
        "edges.jsonl": f"{json.dumps(edge)}\n",
        "paths.csv": f'Drug,Disease,Intermediates,drugmechdb_path_id\n{head},{tail},"[{between}]",P\n',
        "truth.tsv": "".join(f"{line}\n" for line in lines[:40]),
        "types.tsv": f"{head}\tdrug\n{tail}\tdisease\n",
    }


def copy_here(url: str, folder: Path) -> None:
    """Copy all objects below a URL into a folder."""
    root, _, key = url.removeprefix("s3://").partition("/")
    for found in keys_below(f"s3://{root}", key):
        path = folder / found["path"].removeprefix(f"{key}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(read_bytes(f"s3://{root}/{found['path']}"))


def test_commands_that_read_a_result_write_the_same_at_urls(there, project, tool, tmp_path, monkeypatch):
    url, here = there.folder, tmp_path / "here"
    for name, text in explanations(project).items():
        write_bytes(f"{url}/{name}", text.encode())
    asked = ["--test", f"{url}/test.txt", "--top-k", 40, "--also-self-influence", "--rank-of", f"{url}/truth.tsv"]
    done = tool("run", *there.options, *asked, "--save-scores", f"{url}/scores.zarr", "--output-dir", f"{url}/why")
    assert done.exit_code == 0, done.output
    copy_here(url, here)
    monkeypatch.chdir(tmp_path)
    for folder in (url, here):
        known = ["--edges", f"{folder}/edges.jsonl", "--paths", f"{folder}/paths.csv", "--truth", f"{folder}/truth.tsv"]
        graph = ["--train", f"{folder}/graph.zarr", "--saved-scores", f"{folder}/scores.zarr"]
        more = ["--within-hops", 1, "--permutations", 100]
        found = ["--output", f"{folder}/found.csv", "--metapaths", f"{folder}/metapaths.tsv"]
        for words in (
            ["report", f"{folder}/why", "--html", "--csv", "--tsv", "--parquet", *known, *graph],
            ["evaluate", f"{folder}/why", *known, *graph, *more],
            ["paths", f"{folder}/why", "--types", f"{folder}/types.tsv", *found],
        ):
            done = tool(*words)
            assert done.exit_code == 0, done.output
    for part in (
        "why/report/influences.tsv",
        "why/report/index.html",
        "why/evaluation/per_test_triple.csv",
        "found.csv",
    ):
        assert read_bytes(f"{url}/{part}") == (here / part).read_bytes()
    for part in ("why/report/influences.parquet", "why/evaluation/evaluation.json", "metapaths.tsv"):
        assert exists(f"{url}/{part}")
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.fault("an object store dies in the middle of a run", promised="one message; the same command continues")
@pytest.mark.parametrize("end", ["progress/rows-", "influence/c/0/4"], ids=["at a record", "at a chunk"])
def test_a_run_whose_store_dies_continues_with_the_same_bits(there, here, tool, monkeypatch, end):
    monkeypatch.setenv(LIMIT, "0.5")
    url, proxy, written = there.folder, there.proxy, []
    asked = ["--test-triple", *there.test_ids, "--top-k", 30, "--batch-size", 64]
    words = ["run", *there.options, *asked, "--output", f"{url}/why.json", "--save-scores", f"{url}/scores.zarr"]

    def dies(method: str, path: str) -> bool:
        if method == "PUT" and end in path:
            written.append(path)
        return len(written) > (2 if "rows" in end else 0)

    proxy.dies_at = dies
    with pytest.raises(ObjectStoreError, match=r"the object store does not answer after \d+ tries in .*try again$"):
        tool(*words)
    proxy.dies_at = lambda _method, _path: False
    proxy.start()
    num_kept = len(place_of(f"{url}/why.json.progress").find("rows-*.npz"))
    assert num_kept > 0
    done = tool(*words)
    assert done.exit_code == 0, done.output
    assert json.loads(read_bytes(f"{url}/why.json"))["run"]["statistics"]["resumed_rows"] >= 64 * num_kept
    assert influences(url) == influences(here(*asked))
    assert not place_of(url).find("why.json.progress/*")


@pytest.fixture
def cluster(s3, monkeypatch):
    """A cluster whose worker has other variables in its environment than this process."""

    @contextmanager
    def start(**changed: str | None) -> Iterator[str]:
        with monkeypatch.context() as patch:
            for name, value in changed.items():
                patch.delenv(name) if value is None else patch.setenv(name, value)
            sizes = {"n_workers": 1, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
            opened = LocalCluster(**sizes)
        assert s3.is_up
        with opened:
            yield opened.scheduler_address

    return start


def test_a_worker_reads_the_store_and_writes_scores_itself(there, here, tool, cluster):
    asked, url = ["--test-triple", *there.test_ids, "--batch-size", 64], there.folder
    there.proxy.fails_every = 10
    with cluster() as address:
        report = ["--performance-report", f"{url}/report.html"]
        more = ["--save-scores", f"{url}/scores.zarr", "--cluster", address, *report]
        done = tool("run", *there.options, *asked, *more, "--output", f"{url}/why.json")
    assert done.exit_code == 0, done.output
    assert influences(url) == influences(here(*asked))
    assert len(place_of(f"{url}/scores.zarr/influence/c/0").find("*")) > 3
    assert b"bokeh" in read_bytes(f"{url}/report.html").lower()


@pytest.mark.fault("a worker without the credentials of an object store", promised="one message that names the worker")
def test_a_worker_without_credentials_is_named(there, tool, cluster):
    missing = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_EC2_METADATA_DISABLED": "true"}
    words = ["--mode", "self", "--output", f"{there.folder}/self.json"]
    message = r"worker tcp://.* cannot read the store: s3://bucket: no credentials were found; set AWS_ACCESS_KEY_ID"
    with cluster(**missing) as address, pytest.raises(ClusterError, match=message):
        tool("run", *there.options, *words, "--cluster", address)


@pytest.mark.fault("an object store dies in the middle of an ingest", promised="no store is there; ingest again")
def test_an_ingest_that_dies_leaves_nothing_that_can_be_read(s3, s3_folder, project, tool, monkeypatch):
    monkeypatch.setenv(LIMIT, "0.5")
    words = ["ingest", project.folder / "train.txt", "-o", f"{s3_folder}/new.zarr"]
    s3.dies_at = lambda method, path: method == "PUT" and path.endswith("new.zarr/zarr.json")
    with pytest.raises(ObjectStoreError, match="does not answer"):
        tool(*words)
    s3.dies_at = lambda _method, _path: False
    s3.start()
    assert not exists(f"{s3_folder}/new.zarr/zarr.json")
    assert tool(*words).exit_code == 0
    assert open_store(f"{s3_folder}/new.zarr").verify() is None


def test_a_training_reads_and_writes_at_urls(s3_folder, project, tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sizes = ["--embedding-dim", 24, "--embedding-height", 4, "--embedding-width", 6, "--output-channels", 2]
    words = ["train", "--train", f"{s3_folder}/train.txt", *sizes, "--checkpoint-frequency", 1]
    write_bytes(f"{s3_folder}/train.txt", (project.folder / "train.txt").read_bytes())
    for folder in (s3_folder, tmp_path / "model"):
        done = tool(*words, "--num-epochs", 1, "--output-dir", folder)
        assert done.exit_code == 0, done.output
    last = "checkpoints/checkpoint_epoch_1.pt"
    for folder in (s3_folder, str(tmp_path / "model")):
        more = ["--output-dir", folder, "--resume-from-checkpoint", f"{folder}/{last}"]
        assert tool(*words, "--num-epochs", 2, *more).exit_code == 0
    models = [load_conve(f"{folder}/final_model.pt").model.state_dict() for folder in (s3_folder, tmp_path / "model")]
    assert all(models[0][name].equal(weights) for name, weights in models[1].items())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--input-dir", ["convert", "--input-dir", "s3://bucket/a", "--output-dir", "b", "--to", "pykeen"]),
        ("--output-dir", ["convert", "--input-dir", ".", "--output-dir", "s3://bucket/b", "--to", "pykeen"]),
        ("--output-dir", ["validate", "lds", "--output-dir", "s3://bucket/study"]),
        ("--output", ["cluster", "init", "local", "--output", "s3://bucket/local.yaml"]),
        ("SPEC", ["submit", "s3://bucket/slurm.yaml", "--test", "test.txt"]),
    ],
)
@pytest.mark.usefixtures("s3")
def test_a_url_where_only_a_path_can_be_is_refused(refused, tmp_path, monkeypatch, option, words):
    monkeypatch.chdir(tmp_path)
    told = refused(*words)
    assert f"{option}'" in told
    assert "is a URL, but this has to lie in the file system; give a path" in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["local.yaml", "scheduler.json"])
@pytest.mark.usefixtures("s3")
def test_a_url_of_a_file_of_cluster_is_refused(tool, tmp_path, name):
    url, asked = f"s3://bucket/{name}", tmp_path / "here.yaml"
    message = f"{url} is a URL, but a file of --cluster has to lie in the file system; give a path"
    asked.write_text(f"kind: address\naddress: {url}\n")
    for spec in (url, asked) if name == "scheduler.json" else (url,):
        with pytest.raises((PlaceError, ConfigError), match=message):
            tool("cluster", "show", spec)


def test_a_run_and_an_ingest_refuse_a_url_of_cluster_before_they_read(there, tool):
    message = r"local\.yaml is a URL, but a file of --cluster has to lie in the file system"
    for words in (
        ["run", *there.options, "--test-triple", *there.test_ids, "--output", f"{there.folder}/why.json"],
        ["ingest", f"{there.folder}/train.txt", "-o", f"{there.folder}/again.zarr"],
    ):
        with pytest.raises(PlaceError, match=message):
            tool(*words, "--cluster", f"{there.folder}/local.yaml")
    assert not exists(f"{there.folder}/again.zarr")
