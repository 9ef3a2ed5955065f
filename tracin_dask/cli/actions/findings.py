"""What a user should know of a graph before a run: duplicates, self-loops, unused and look-alike labels."""

import numpy as np

from tracin_dask.cli.say import say
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.triples.near_twins import near_twins
from tracin_dask.triples.store import TripleStore


def findings(store: TripleStore) -> dict[str, str]:
    """Describe what was counted of the triples, and labels that look alike."""
    found = {name: f"{number:,}" for name, number in store.info.counts.items()}
    for kind, id_map in (("entities", store.entities), ("relations", store.relations)):
        twins = near_twins(id_map)
        if twins is not None:
            found[f"similar {kind}"] = str(twins)
    return found


def say_findings(store: TripleStore) -> None:
    """Say what was found, where there is anything to say."""
    found = [f"{name}: {text}" for name, text in findings(store).items() if text != "0"]
    if found:
        say("; ".join(found), err=True)


def say_untrained(prepared: PreparedRun) -> None:
    """Say how many test triples have an entity that no training triple has."""
    unused, tests = prepared.store.unused_entities, prepared.test_triples
    if tests is None or unused is None:
        return
    is_untrained = np.isin(tests[:, [0, 2]], unused)
    number = int(is_untrained.any(axis=1).sum())
    if number:
        label = prepared.store.entities.label(int(tests[:, [0, 2]][is_untrained][0]))
        say(
            f"{number:,} of {len(tests):,} test triples have an entity that no training triple has, e.g. {label!r}: "
            "no training triple taught the model about it",
            err=True,
        )
