"""A small graph of drugs and diseases, models of it, and the other files that the commands of the pages name."""

import json
import shutil
from pathlib import Path

from click.testing import CliRunner

from tracin_dask.cli.main import group

DRUGS = ("aspirin", "CHEBI:6802", "DRUGBANK:DB00104", *(f"CHEBI:{number}" for number in range(9)))
DISEASES = ("headache", "fever", "DOID:3277", "MONDO:0005148", *(f"MONDO:{number}" for number in range(4)))
GENES = tuple(f"NCBIGene:{number}" for number in range(10))
RELATIONS = ("treats", "palliates", "isa", "predicate:0", "predicate:4")
TESTS = (
    ("aspirin", "treats", "headache"),
    ("DRUGBANK:DB00104", "predicate:0", "DOID:3277"),
    ("CHEBI:6802", "predicate:4", "MONDO:0005148"),
    ("CHEBI:3", "treats", "MONDO:1"),
)
NAMES = {"CHEBI:6802": "metformin hydrochloride", "MONDO:0005148": "type 2 diabetes mellitus"}
AFFECTS = {
    "predicate": "biolink:affects",
    "object_aspect_qualifier": "expression",
    "object_direction_qualifier": "increased",
}
SIZES = ("--embedding-dim", 32, "--embedding-height", 8, "--embedding-width", 4)
Triple = tuple[str, str, str]


def make_folder(folder: Path) -> None:
    """Fill a folder. Every relation has its inverse, as `predict --heads-of` needs it."""
    train = _triples(len(DRUGS), len(DISEASES))
    train += [(tail, f"{relation}_inverse", head) for head, relation, tail in train]
    _write(folder / "train.txt", train)
    _write(folder / "valid.txt", train[:6])
    _write(folder / "test.txt", TESTS)
    _write(folder / "kg.txt", _larger_graph())
    _write_maps(folder)
    _write_known(folder, train)
    _write_models(folder)
    names = ("--entity-names", folder / "names.tsv", "--edge-map", folder / "edge_map.json")
    _call("ingest", folder / "train.txt", "-o", folder / "graph.zarr", *_maps(folder), *names)


def _triples(num_drugs: int, num_diseases: int) -> list[Triple]:
    found = []
    for i, drug in enumerate(DRUGS):
        for k, relation in enumerate(("treats", "palliates", "predicate:0")):
            found.append((drug, relation, DISEASES[(i + 2 * k) % num_diseases]))
            found.append((drug, "predicate:4", GENES[(i + 2 * k) % len(GENES)]))
        found.append((drug, "isa", DRUGS[(i + 5) % num_drugs]))
    found += [(GENES[i % len(GENES)], "predicate:4", DISEASES[i % num_diseases]) for i in range(30)]
    return [triple for triple in dict.fromkeys(found) if triple not in TESTS]


def _larger_graph() -> list[Triple]:
    found = [(f"D:{i}", "treats", f"M:{(i * k) % 97}") for i in range(150) for k in range(1, 31)]
    found += [(f"M:{i}", "isa", f"M:{(i + 1) % 97}") for i in range(97)]
    return found + [(f"D:{i}", "interacts", f"D:{(i + 1) % 150}") for i in range(150)]


def _write(path: Path, triples: "list[Triple] | tuple[Triple, ...]") -> None:
    path.write_text("".join("\t".join(triple) + "\n" for triple in triples))


def _write_maps(folder: Path) -> None:
    entities = (*DRUGS, *DISEASES, *GENES)
    relations = (*RELATIONS, *(f"{relation}_inverse" for relation in RELATIONS))
    for name, labels in (("node_dict.txt", entities), ("rel_dict.txt", relations)):
        (folder / name).write_text("".join(f"{label}\t{number}\n" for number, label in enumerate(labels)))
    (folder / "relation_ids.del").write_text("".join(f"{number}\t{label}\n" for number, label in enumerate(RELATIONS)))
    for name in ("names.tsv", "node_name_dict.txt"):
        (folder / name).write_text("".join(f"{label}\t{words}\n" for label, words in NAMES.items()))
    (folder / "edge_map.json").write_text(json.dumps({json.dumps(AFFECTS): "predicate:4"}))


def _write_known(folder: Path, train: list[Triple]) -> None:
    """Write known explanations, training triples to look for, and groups."""
    edges = [dict(zip(("subject", "predicate", "object"), triple, strict=True)) for triple in train[:20]]
    for name in ("edges.jsonl", "drugmechdb_edges.jsonl"):
        (folder / name).write_text("".join(json.dumps(edge) + "\n" for edge in edges))
    paths = "".join(f'{head},{tail},"[{GENES[1]}, {GENES[2]}]"\n' for head, _, tail in TESTS)
    (folder / "paths.csv").write_text("Drug,Disease,Intermediates\n" + paths)
    _write(folder / "suspects.txt", train[:5])
    (folder / "drugs.txt").write_text("\n".join(DRUGS) + "\n")
    sets = "".join("\t".join(triple) + f"\tset {number % 2}\n" for number, triple in enumerate(TESTS))
    (folder / "sets.tsv").write_text(sets)
    sources = "".join(f"source {number % 3}\n" for number in range(len(train)))
    (folder / "source_of_each_line.txt").write_text(sources)


def _write_models(folder: Path) -> None:
    """Train three models, and copy their checkpoints to the places that the pages name."""
    graph = ("--train", folder / "train.txt", "--valid", folder / "valid.txt", *_maps(folder))
    for seed, num_epochs in ((1, 20), (2, 5), (3, 5)):
        options = (*SIZES, "--num-epochs", num_epochs, "--checkpoint-frequency", 5, "--random-seed", seed)
        options += ("--batch-size", 16, "--learning-rate", 0.01)
        _call("train", *graph, *options, "--output-dir", folder / f"seed_{seed}")
    shutil.copytree(folder / "seed_1", folder / "model")
    shutil.copytree(folder / "seed_1" / "checkpoints", folder / "checkpoints")
    for name in ("model.pt", "best_model.pt", "late.pt"):
        shutil.copy(folder / "model" / "final_model.pt", folder / name)
    for name, epoch in (("early.pt", 5), ("middle.pt", 10)):
        shutil.copy(folder / "checkpoints" / f"checkpoint_epoch_{epoch}.pt", folder / name)


def _maps(folder: Path) -> tuple[str | Path, ...]:
    return ("--entity-to-id", folder / "node_dict.txt", "--relation-to-id", folder / "rel_dict.txt")


def _call(*words: object) -> None:
    result = CliRunner().invoke(group, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
