"""How the numbers of a page were made: metadata of the run, and a command that makes them again."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracin_dask.report.labels import ROLES
from tracin_dask.report.page.facts import Fact
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.screen import audited, ranked
from tracin_dask.visible import visible

_NOT_LISTED = {"checkpoints", "statistics", "audit", "prediction", "masks"}
"""Metadata that a page states elsewhere, or only as JSON."""
_LOSSES, _PRECONDITIONERS = {"bce", "one-to-all", "slcwa"}, {"none", "adam"}
_MASKS = {"only_relations", "exclude_relations", "candidates", "touching", "exclude_self"}
"""What the command line offers; a run with something else has no command."""

_SCORING = (
    "loss",
    "label_smoothing",
    "num_negatives",
    "negatives_seed",
    "explain",
    "preconditioner",
    "curvature",
    "damping",
    "landmarks",
    "landmarks_near",
    "landmarks_seed",
    "normalize",
    "precision",
)
"""Metadata that are options of the same names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint of the run."""

    path: str
    training: str
    epoch: str
    learning_rate: str
    sha256: str
    notes: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where the numbers come from."""

    facts: Sequence[Fact]
    checkpoints: Sequence[Checkpoint]
    command: str
    """Empty where no command line makes such a run."""
    metadata: str
    """Everything that the result states of its run, as JSON."""


def origin_of(result: InfluenceResult, index: int) -> Origin:
    """Describe how one answer was made."""
    run = result.run
    return Origin(
        facts=[*_facts(run), *(Fact(name="Note", value=visible(line)) for line in (*ranked(result), *audited(result)))],
        checkpoints=[_checkpoint(one) for one in run["checkpoints"]],
        command=command_of(result, index),
        metadata=visible(json.dumps(dict(run), indent=2, ensure_ascii=False)),
    )


def _facts(run: Mapping[str, Any]) -> Iterator[Fact]:
    for key, value in run.items():
        if key not in _NOT_LISTED and value not in ({}, [], None):
            words = key.replace("num_", "number_of_").replace("_", " ")
            name = "tracin-dask" if key == "tracin_dask_version" else words.capitalize()
            yield Fact(name=name, value=visible(_written(value)))


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key.replace('_', ' ')}: {_written(one)}" for key, one in value.items() if one != {})
    if isinstance(value, list | tuple):
        return ", ".join(map(_written, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _checkpoint(about: Mapping[str, Any]) -> Checkpoint:
    epoch = about.get("epoch")
    return Checkpoint(
        path=visible(str(about["path"])),
        training=str(about.get("training", "")),
        epoch="" if epoch is None else str(epoch),
        learning_rate=str(about["learning_rate"]),
        sha256=str(about["sha256"]),
        notes="; ".join(map(visible, about.get("notes", ()))),
    )


def command_of(result: InfluenceResult, index: int) -> str:
    """Write a command that makes the answer again; empty where parts of the run are no options of the command line."""
    run = result.run
    is_ours = (
        run.get("model") == "ConvE"
        and run["loss"] in _LOSSES
        and run["preconditioner"] in _PRECONDITIONERS
        and set(run.get("masks", {})) <= _MASKS
        and "file" in run.get("masks", {}).get("candidates", {"file": ""})
        and result.sets is None
        and "store" in run
        and not result.kept
    )
    if not is_ours:
        return ""
    words = ["tracin-dask", "run", *_model(run), "--train", run["store"]["path"], *_question(result, index)]
    return shlex.join(map(visible, [*words, *_scoring(run), *_ranking(result)]))


def _model(run: Mapping[str, Any]) -> list[str]:
    checkpoints = run["checkpoints"]
    words = ["--model-path", *(str(one["path"]) for one in checkpoints)]
    words += ["--ensemble"] if any("training" in one for one in checkpoints) else []
    return [*words, "--learning-rate", *(str(one["learning_rate"]) for one in checkpoints)]


def _question(result: InfluenceResult, index: int) -> list[str]:
    if result.test_triples is None:
        return ["--mode", "self"]
    triple, other = result.question(index)
    asked = result.labels.describe(triple)
    words = [str(asked[f"{role}_label"]) for role in ROLES]
    against = [] if other is None else [str(result.labels.describe([*triple[:2], other])["tail_label"])]
    if any(word.isdecimal() for word in (*words, *against)):  # such labels read like ids
        words, against = [str(number) for number in triple], [] if other is None else [str(other)]
        return ["--ids", "--test-triple", *words, *(["--contrast", *against] if against else [])]
    return ["--test-triple", *words, *(["--contrast", *against] if against else [])]


def _scoring(run: Mapping[str, Any]) -> list[str]:
    words = ["--preset", run["preset"]] if "preset" in run else []
    for name in _SCORING:
        if run.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", str(run[name])]
    return [*words, *(["--parameters", *run["parameters"]] if "parameters" in run else [])]


def _ranking(result: InfluenceResult) -> list[str]:
    run, masks = result.run, result.run.get("masks", {})
    words = ["--top-k", str(result.top_k), "--rank-by", run["rank_by"]]
    for name in ("only_relations", "exclude_relations"):
        words += [f"--{name.replace('_', '-')}", *masks[name]] if name in masks else []
    words += ["--candidates", masks["candidates"]["file"]] if "candidates" in masks else []
    words += ["--touching", masks["touching"]] if "touching" in masks else []
    words += ["--exclude-self"] if "exclude_self" in masks else []
    words += ["--checkpoint-contributions"] if run.get("checkpoint_contributions") else []
    for grouping in run.get("groupings", ()):
        words += ["--group-by", grouping["group_by"]] if grouping["group_by"] in ROLES else []
    return words
