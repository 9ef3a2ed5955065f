"""The parts of a result in JSON: what each adds to the object of one test triple, and how it is read back.

A new part of the result is a field of `InfluenceResult` and an entry of `PARTS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy import ndarray

from tracin_dask.report.arrow import number_array, table_of, text_array
from tracin_dask.report.entries import entries, ranked_columns
from tracin_dask.report.groups import LISTED_GROUPS, GroupInfluences
from tracin_dask.report.json_numbers import numbers
from tracin_dask.report.labels import ROLES, Labels, Texts
from tracin_dask.report.prediction_words import notes
from tracin_dask.report.predictions import PREDICTION, from_json, to_json
from tracin_dask.report.ranks import NOT_RANKED, ListedRanks
from tracin_dask.report.result import SCHEMA_VERSION, InfluenceResult, Norms, RankedTriples
from tracin_dask.report.self_influences import TEST
from tracin_dask.report.self_influences import from_json as read_self_influences
from tracin_dask.report.sets import TestSets

Contents = Mapping[str, Any]
"""The JSON object of one test triple."""
FURTHER, RANKS, NUM_RANKED, KEPT = "further_influences", "ranks", "num_ranked_rows", "kept"
CONTRAST_PREDICTION = "contrast_prediction"
"""What the model says of the triple with the other tail."""
TEST_SET = "test_set"
"""What is said of a set of test triples in place of `test_triple`."""
PREFIXES = ("", "train_")
EARLIER = {"rank_by": "absolute", "explain": "loss", "normalize": "none", "preconditioner": "none"}
"""The settings that older files do not state, with the values that they had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of a result: written by test triple, read from the objects of all test triples."""

    write: Callable[[InfluenceResult, int], dict[str, Any]]
    read: Callable[[Sequence[Contents]], dict[str, Any]]
    """Gives fields of `InfluenceResult`."""


def name_of_value(contents: Sequence[Contents]) -> str:
    """Tell influences from self-influences."""
    return "self_influence" if contents[0].get("mode") == "self" else "influence"


def _write_question(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    if result.test_triples is None:
        return {"mode": "self"}
    if result.sets is None:
        return _one_question(result, test_index)
    members = result.sets.members(test_index).tolist()
    listed = [{"test_index": member} | _one_question(result, member) for member in members]
    name = result.sets.names[test_index]
    return {TEST_SET: {"name": name, "num_test_triples": len(members), "test_triples": listed}}


def _one_question(result: InfluenceResult, place: int) -> dict[str, Any]:
    """Describe one test triple, and the other tail that it was compared with."""
    triple, other = result.question(place)
    about: dict[str, Any] = {"test_triple": result.labels.describe(triple)}
    if other is not None:
        described = result.labels.describe([*triple[:2], other])
        about["contrast"] = {key: value for key, value in described.items() if key.startswith("tail")}
    if result.self_influences is not None:
        about[TEST] = float(result.self_influences.test[place])
    return about | _prediction(result, place)


def _prediction(result: InfluenceResult, place: int) -> dict[str, Any]:
    """Describe what the model says of one test triple, and of the one with the other tail; notes are words alone."""
    if result.predictions is None:
        return {}
    found = {PREDICTION: to_json(result.predictions, place) | {"notes": notes(result, place)}}
    if result.predictions.contrast is not None:
        found[CONTRAST_PREDICTION] = to_json(result.predictions.contrast, place)
    return found


def _read_predictions(asked: Sequence[Contents]) -> dict[str, Any]:
    if PREDICTION not in asked[0]:
        return {"predictions": None}
    of_other = CONTRAST_PREDICTION in asked[0]
    contrast = from_json([one[CONTRAST_PREDICTION] for one in asked]) if of_other else None
    return {"predictions": from_json([one[PREDICTION] for one in asked], contrast)}


def _questions(contents: Sequence[Contents]) -> list[Contents]:
    """Give what describes the test triples, in their order: an object for each, or the members of sets."""
    if TEST_SET not in contents[0]:
        return list(contents)
    members = [member for one in contents for member in one[TEST_SET]["test_triples"]]
    return sorted(members, key=lambda member: int(member["test_index"]))


def _read_sets(contents: Sequence[Contents]) -> TestSets | None:
    if TEST_SET not in contents[0]:
        return None
    numbered = [
        (member["test_index"], number)
        for number, one in enumerate(contents)
        for member in one[TEST_SET]["test_triples"]
    ]
    of_test = numbers((number for _, number in sorted(numbered)), int)
    return TestSets(names=tuple(str(one[TEST_SET]["name"]) for one in contents), of_test=of_test)


def _read_question(contents: Sequence[Contents]) -> dict[str, Any]:
    if name_of_value(contents) == "self_influence":
        return {"test_triples": None, "contrast_tails": None}
    others = None
    asked = _questions(contents)
    if "contrast" in asked[0]:
        others = numbers((one["contrast"]["tail"] for one in asked), int)
    return {
        "test_triples": _triples([one["test_triple"] for one in asked], ""),
        "contrast_tails": others,
        "sets": _read_sets(contents),
        "self_influences": read_self_influences(asked, [one["influences"] for one in contents]),
        **_read_predictions(asked),
    }


def _write_no_labels(_result: InfluenceResult, _test_index: int) -> dict[str, Any]:
    """Add nothing: every triple has its labels with it."""
    return {}


def _read_labels(contents: Sequence[Contents]) -> dict[str, Any]:
    """Collect the labels of all triples, wherever they stand."""
    name = f"{name_of_value(contents)}s"
    known: dict[str, dict[int, tuple[str, str | None]]] = {"entity": {}, "relation": {}}
    for one in contents:
        asked = [part.get(key, {}) for part in _questions([one]) for key in ("test_triple", "contrast")]
        described = [*asked, *one[name], *one.get(FURTHER, ()), *one.get(RANKS, ())]
        for triple in described:
            for prefix in PREFIXES:
                for role in ROLES:
                    if f"{prefix}{role}" in triple:
                        kind = known["relation" if role == "relation" else "entity"]
                        texts = triple[f"{prefix}{role}_label"], triple.get(f"{prefix}{role}_name")
                        kind[triple[f"{prefix}{role}"]] = texts
    return {"labels": Labels(entities=Texts.of(known["entity"]), relations=Texts.of(known["relation"]))}


def _write_norm(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    return {} if result.norms is None else {"test_gradient_norm": float(result.norms.test[test_index])}


def _read_norms(contents: Sequence[Contents]) -> dict[str, Any]:
    if "test_gradient_norm" not in contents[0]:
        return {"norms": None}
    test = numbers((one["test_gradient_norm"] for one in contents), float)
    train = (numbers((e["train_gradient_norm"] for e in one["influences"]), float) for one in contents)
    return {"norms": Norms(test=test, train=tuple(train))}


def _write_settings(result: InfluenceResult, _test_index: int) -> dict[str, Any]:
    return {"top_k": result.top_k, "learning_rate": result.learning_rate}


def _read_settings(contents: Sequence[Contents]) -> dict[str, Any]:
    return {key: contents[0][key] for key in ("top_k", "learning_rate")}


def _write_rankings(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    return {f"{result.value_name}s": rows(entries(result, test_index))}


def _write_further(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    further = result.further[test_index]
    if len(further) == 0:
        return {}
    columns = ranked_columns(result, further)
    if result.further_spread is not None:
        columns[f"{result.value_name}_spread"] = number_array(result.further_spread[test_index])
    return {FURTHER: rows(table_of(columns | {"train_index": number_array(further.train_index)}))}


def _read_further(contents: Sequence[Contents]) -> dict[str, Any]:
    name = name_of_value(contents)
    listed = [one.get(FURTHER, ()) for one in contents]
    return {
        "further": tuple(_ranked(entries, name) for entries in listed),
        "further_spread": _spread(contents, listed, name),
    }


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Give rows as JSON lists them: what is not known is left out."""
    return [{key: value for key, value in row.items() if value is not None} for row in table.to_pylist()]


def _read_rankings(contents: Sequence[Contents]) -> dict[str, Any]:
    name = name_of_value(contents)
    return {
        "rankings": tuple(_ranked(one[f"{name}s"], name) for one in contents),
        "contributions": _contributions(contents, name),
        "spread": _spread(contents, [one[f"{name}s"] for one in contents], name),
    }


def _ranked(listed: Sequence[Contents], name: str) -> RankedTriples:
    return RankedTriples(
        triples=_triples(listed, "train_"),
        influence=numbers((entry[name] for entry in listed), float),
        train_index=numbers((entry["train_index"] for entry in listed), int),
    )


def _triples(described: Sequence[Contents], prefix: str) -> ndarray:
    columns = [numbers((triple[f"{prefix}{role}"] for triple in described), int) for role in ROLES]
    return np.stack(columns, axis=1)


def _contributions(contents: Sequence[Contents], name: str) -> tuple[ndarray, ...] | None:
    """Read what each checkpoint adds; lists without any entry have it if the run was asked for it."""
    run, key = contents[0]["run"], f"{name}_by_checkpoint"
    listed = [one[f"{name}s"] for one in contents]
    if not (run.get("checkpoint_contributions") or any(key in entry for one in listed for entry in one[:1])):
        return None
    parts = (numbers((part for entry in one for part in entry[key]), float) for one in listed)
    width = len(run["checkpoints"])
    return tuple(part.reshape(len(one), width) for part, one in zip(parts, listed, strict=True))


def _spread(
    contents: Sequence[Contents], listed: Sequence[Sequence[Contents]], name: str
) -> tuple[ndarray, ...] | None:
    """Read the spread over trainings, where there are several."""
    if not any("training" in checkpoint for checkpoint in contents[0]["run"]["checkpoints"]):
        return None
    return tuple(numbers((entry[f"{name}_spread"] for entry in entries), float) for entries in listed)


def _write_num_ranked(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    return {} if result.num_ranked is None else {NUM_RANKED: int(result.num_ranked[test_index])}


def _read_num_ranked(contents: Sequence[Contents]) -> dict[str, Any]:
    counted = NUM_RANKED in contents[0]
    return {"num_ranked": numbers((one[NUM_RANKED] for one in contents), int) if counted else None}


def _write_ranks(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    """List the ranks of the listed training triples, null where they are not ranked."""
    if result.ranks is None:
        return {}
    ranks = result.ranks
    columns = result.labels.columns(ranks.triples, "train_") | {
        result.value_name: number_array(ranks.influence[test_index]),
        "train_index": number_array(ranks.train_index),
    }
    percentiles = ranks.percentile(test_index).tolist()
    places = [
        {"rank": number or None, "percentile": percentile if number else None}
        for number, percentile in zip(ranks.rank[test_index].tolist(), percentiles, strict=True)
    ]
    return {RANKS: [entry | place for entry, place in zip(rows(table_of(columns)), places, strict=True)]}


def _read_ranks(contents: Sequence[Contents]) -> dict[str, Any]:
    if RANKS not in contents[0]:
        return {"ranks": None}
    listed, total = contents[0][RANKS], contents[0]["run"]["num_training_triples"]
    name = name_of_value(contents)
    ranks = ListedRanks(
        triples=_triples(listed, "train_"),
        train_index=numbers((entry["train_index"] for entry in listed), int),
        influence=np.stack([numbers((entry[name] for entry in one[RANKS]), float) for one in contents]),
        rank=np.stack([numbers((entry["rank"] or NOT_RANKED for entry in one[RANKS]), int) for one in contents]),
        num_ranked=numbers((one.get(NUM_RANKED, total) for one in contents), int),
    )
    return {"ranks": ranks}


def _write_groups(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    if not result.groups:
        return {}
    return {"group_totals": [_listed(found, test_index, result.run["rank_by"]) for found in result.groups]}


def _listed(found: GroupInfluences, test_index: int, rank_by: str) -> dict[str, Any]:
    largest = found.table(test_index, rank_by, most=LISTED_GROUPS)
    return {"group_by": found.group_by, "num_groups": found.num_groups, "groups": rows(largest)}


def _read_groups(contents: Sequence[Contents]) -> dict[str, Any]:
    """Read the groups that are listed; the others, which a file of their own has, are NaN where a list lacks them."""
    places = range(len(contents[0].get("group_totals", ())))
    return {"groups": tuple(_one_grouping([one["group_totals"][place] for one in contents]) for place in places)}


def _one_grouping(listed: Sequence[Contents]) -> GroupInfluences:
    groups = {group["group"]: group for one in listed for group in one["groups"]}
    ordered = sorted(groups)
    sums = np.full((3, len(listed), len(ordered)), np.nan)
    for test_index, one in enumerate(listed):
        at = np.searchsorted(ordered, [group["group"] for group in one["groups"]])
        for part, side in zip(sums, ("positive", "negative", "net"), strict=True):
            part[test_index, at] = numbers((group[f"{side}_influence"] for group in one["groups"]), float)
    return GroupInfluences(
        group_by=listed[0]["group_by"],
        num_groups=listed[0]["num_groups"],
        groups=numbers(ordered, int),
        labels=text_array([groups[number]["group_label"] for number in ordered]),
        names=text_array([groups[number].get("group_name") for number in ordered]),
        num_triples=numbers((groups[number]["num_training_triples"] for number in ordered), int),
        positive=sums[0],
        negative=sums[1],
        net=sums[2],
    )


def _write_kept(result: InfluenceResult, test_index: int) -> dict[str, Any]:
    return {KEPT: {name: values[test_index] for name, values in result.kept.items()}} if result.kept else {}


def _read_kept(contents: Sequence[Contents]) -> dict[str, Any]:
    return {"kept": {name: tuple(one[KEPT][name] for one in contents) for name in contents[0].get(KEPT, ())}}


def _write_run(result: InfluenceResult, _test_index: int) -> dict[str, Any]:
    return {"run": dict(result.run)}


def _read_run(contents: Sequence[Contents]) -> dict[str, Any]:
    """Take what was read from older files for what this version writes."""
    return {"run": EARLIER | contents[0]["run"] | {"schema_version": SCHEMA_VERSION}}


RANKINGS = Part(write=_write_rankings, read=_read_rankings)
PARTS = (
    Part(write=_write_question, read=_read_question),
    Part(write=_write_norm, read=_read_norms),
    Part(write=_write_settings, read=_read_settings),
    Part(write=_write_num_ranked, read=_read_num_ranked),
    RANKINGS,
    Part(write=_write_further, read=_read_further),
    Part(write=_write_ranks, read=_read_ranks),
    Part(write=_write_no_labels, read=_read_labels),
    Part(write=_write_groups, read=_read_groups),
    Part(write=_write_kept, read=_read_kept),
    Part(write=_write_run, read=_read_run),
)
"""In the order in which they stand in the file."""
