"""The graphs that the cases explain: UMLS as a store, and some of its triples as a text file."""

from itertools import islice
from pathlib import Path

from same_runs.command import tracin_dask

UMLS = Path(__file__).parents[2] / "tests" / "data" / "umls"
SPARSE_TRIPLES = 150
"""About one per head, too few for Jacobians per head."""
NUM_SOURCES = 7
SCHEDULE = {0: 0.02, 1: 0.01, 2: 0.005}
"""Learning rates by epoch."""


def write_graphs(folder: Path) -> None:
    """Ingest UMLS, and write the other files that options name."""
    lines = (UMLS / "train.txt").read_text(encoding="utf-8").splitlines()
    triples = [line.split("\t") for line in lines]
    _write_id_map(folder / "entity_to_id.tsv", {part for head, _, tail in triples for part in (head, tail)})
    _write_id_map(folder / "relation_to_id.tsv", {relation for _, relation, _ in triples})
    tracin_dask("ingest", str(UMLS / "train.txt"), *_id_maps(folder), "--output", str(folder / "umls.zarr"))
    some = lines[:: len(lines) // SPARSE_TRIPLES]
    (folder / "sparse.txt").write_text("".join(f"{line}\n" for line in some))
    sources = [f"{line}\tsource {number % NUM_SOURCES}\n" for number, line in enumerate(lines)]
    (folder / "sources.tsv").write_text("".join(sources))
    (folder / "schedule.tsv").write_text("".join(f"{epoch}\t{rate}\n" for epoch, rate in SCHEDULE.items()))


def graph_options(name: str, folder: Path) -> list[str]:
    """Name the training triples of a case."""
    if name == "umls":
        return ["--train", str(folder / "umls.zarr")]
    return ["--train", str(folder / f"{name}.txt"), *_id_maps(folder), "--cache-dir", str(folder / "cache")]


def test_options(number: int, folder: Path) -> list[str]:
    """Name the first test triples of UMLS; for none, ask for self-influence."""
    if number == 0:
        return ["--mode", "self"]
    path = folder / f"test-{number}.txt"
    with (UMLS / "test.txt").open(encoding="utf-8") as lines:
        path.write_text("".join(islice(lines, number)))
    return ["--test", str(path)]


def _id_maps(folder: Path) -> list[str]:
    return [f"--{kind}-to-id={folder / f'{kind}_to_id.tsv'}" for kind in ("entity", "relation")]


def _write_id_map(path: Path, labels: set[str]) -> None:
    path.write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(sorted(labels))))
