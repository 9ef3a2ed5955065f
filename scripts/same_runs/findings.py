"""What a run found, read from the files that it wrote, as lines of text in which every bit shows."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import zarr

TOTALS = ("test_index", "group_by", "group", "num_training_triples")
SUMS = ("positive_influence", "negative_influence", "net_influence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Hashes of the results of a run, and enough numbers to show a change.

    Attributes
    ----------
    hashes
        The sha256 of each part: influences; group totals and saved scores, where the run has them.
    top
        The first entry of the first test triple, for a reader.
    engine
        How the run says that it computed.
    """

    hashes: dict[str, str]
    top: str
    engine: str


def read_findings(output: Path) -> Findings:
    """Read all that a run wrote into its folder."""
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    results = [json.loads((output / listed["file"]).read_text(encoding="utf-8")) for listed in summary["results"]]
    hashes = {"influences": _hash("\n".join(line for result in results for line in _lines(result)).encode())}
    if (output / "groups.parquet").exists():
        hashes["groups"] = _hash("\n".join(_totals(output / "groups.parquet")).encode())
    if (output / "scores.zarr").exists():
        hashes["scores"] = _hash(_scores(output / "scores.zarr"))
    return Findings(hashes=hashes, top=_top(results[0]), engine=summary["run"].get("engine", "not stated"))


def _lines(result: Mapping[str, Any]) -> Iterator[str]:
    """Give a line for the test triple, and one for each training triple that is reported."""
    test = result.get("test_triple", {})
    asked = [test.get(part) for part in ("head", "relation", "tail")] + [result.get("contrast", {}).get("tail")]
    yield f"test triple {asked} {_bits(result.get('test_gradient_norm'))}"
    for entry in _entries(result):
        triple = [entry[f"train_{part}"] for part in ("index", "head", "relation", "tail")]
        value, parts = (
            _value(entry),
            entry.get("influence_by_checkpoint", entry.get("self_influence_by_checkpoint", ())),
        )
        numbers = [value, entry.get("train_gradient_norm"), *parts]
        yield f"{triple} {' '.join(map(_bits, numbers))}"


def _entries(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = result.get("influences", result.get("self_influences"))
    return entries


def _value(entry: Mapping[str, Any]) -> float:
    return float(entry["influence"] if "influence" in entry else entry["self_influence"])


def _top(result: Mapping[str, Any]) -> str:
    entry = _entries(result)[0]
    return f"{_value(entry)!r} of training triple {entry['train_index']}"


def _totals(path: Path) -> Iterator[str]:
    table = pq.read_table(path, columns=[*TOTALS, *SUMS])
    for row in table.to_pylist():
        yield f"{[row[name] for name in TOTALS]} {' '.join(_bits(row[name]) for name in SUMS)}"


def _scores(path: Path) -> bytes:
    group = zarr.open_group(path, mode="r")
    arrays = [np.asarray(group[name]) for name in ("influence", "self_influence", "train_index") if name in group]
    return b"".join(f"{values.dtype.str} {values.shape} ".encode() + values.tobytes() for values in arrays)


def _bits(value: float | None) -> str:
    return "none" if value is None else float(value).hex()


def _hash(contents: bytes) -> str:
    return sha256(contents).hexdigest()
