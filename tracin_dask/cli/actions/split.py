"""Carries out `tracin-dask split`: reads, splits, writes, and says what was done."""

import shlex
from collections.abc import Mapping
from typing import Any, cast

from tracin_dask import __version__
from tracin_dask.cli.actions.inputs import ids_or_labels
from tracin_dask.cli.actions.next_command import map_words
from tracin_dask.cli.actions.whole_graph import describes_text, graph_of, reading_of
from tracin_dask.cli.options.job import JobFlags
from tracin_dask.cli.say import is_quiet, say, say_written
from tracin_dask.cli.split import SplitFlags
from tracin_dask.cli.stopping import keeping
from tracin_dask.errors import ConfigError
from tracin_dask.places.files import exists
from tracin_dask.places.place import Place, StoreExistsError
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.ingest_errors import disk_explained
from tracin_dask.triples.preparing.kept import distinct_kept, explained_by_line, read_kept
from tracin_dask.triples.preparing.lines_out import refuse_line_marks
from tracin_dask.triples.preparing.split import Split, SplitOptions, UntrainedError, split_graph
from tracin_dask.triples.preparing.whole_graph import WholeGraph
from tracin_dask.triples.preparing.write_split import INVERSE, REMOVED, SAME, write_split
from tracin_dask.triples.suggestions import meant

MUCH = 0.1
"""A larger part of the training triples that is taken out is said to be much."""

LISTED = 10
"""Relations that a message names."""


def write_parts(options: SplitFlags) -> None:
    """Split, and say what came of it and what to do next.

    Raises
    ------
    TracInDaskError
        If a file cannot be used, no such split exists, or the folder cannot be written.
    """
    output = options["output"]
    _refuse_folder(output, overwrite=options["overwrite"])
    if options["valid"] == 0 and options["test"] == 0 and options["keep_test"] is None:
        raise ConfigError("--valid 0 and --test 0 hold nothing out; give a fraction or a number of triples")
    with keeping(lambda: f"{output} is as it was before"):
        graph = graph_of(
            options, further_file=options["keep_test"] is not None, further_words=bool(options["of_relation"])
        )
        refuse_line_marks(graph)
        chosen = _chosen(options, graph)
        kept = None if options["keep_test"] is None else _kept(options["keep_test"], graph, chosen, options)
        split = _split(graph, chosen, kept, options)
        with disk_explained(output, output), output.new_folder(overwrite=options["overwrite"]) as part:
            found = write_split(part, graph, split, _about(graph, options, kept))
    if is_quiet():
        say_written(output)
        return
    say(_summary(graph, split, found, options))
    say(f"\nNext: {_next_command(graph, found, options)}")


def _refuse_folder(output: Place, *, overwrite: bool) -> None:
    """Refuse a folder of anything but an earlier split: --overwrite would delete it."""
    if not exists(output):
        return
    if output.is_file() or not (output / "split.json").is_file():
        raise StoreExistsError(f"{output}: exists, and is no earlier split; choose another output")
    if not overwrite:
        raise StoreExistsError(f"{output}: exists already; choose another output, or pass --overwrite")


def _chosen(options: SplitFlags, graph: WholeGraph) -> SplitOptions:
    return SplitOptions(
        seed=options["seed"],
        valid=options["valid"],
        test=options["test"],
        of_relation=_relations(options, graph),
        by=options["by"],
        remove_pairs=options["remove_pairs"],
    )


def _relations(options: SplitFlags, graph: WholeGraph) -> tuple[int, ...]:
    """Find the relations that --of-relation names, by ids or labels."""
    given = ids_or_labels("of_relation", cast("JobFlags", options), {"relation": graph.relations})
    found = [word if isinstance(word, int) else int(graph.relations.ids([word])[0]) for word in given]
    for word, number in zip(given, found, strict=True):
        if not 0 <= number < len(graph.relations):
            raise ConfigError(
                f"--of-relation {word}: none of the {len(graph.relations):,} relations of the graph"
                f"{meant(graph.texts, word, 'relation')}: {_some(graph.relations)}"
            )
    return tuple(dict.fromkeys(found))


def _some(relations: IdMap) -> str:
    """Name the first relations."""
    more = ", …" if len(relations) > LISTED else ""
    return f"{', '.join(relations.labels[:LISTED].to_pylist())}{more}"


def _kept(path: Place, graph: WholeGraph, chosen: SplitOptions, options: SplitFlags) -> TripleBlock:
    kept = read_kept(path, graph, chosen.of_relation, reading_of(options))
    say(f"--keep-test: {len(distinct_kept(kept)):,} triples from {path}", err=True)
    return kept


def _split(graph: WholeGraph, chosen: SplitOptions, kept: TripleBlock | None, options: SplitFlags) -> Split:
    try:
        return split_graph(graph, chosen, None if kept is None else distinct_kept(kept))
    except UntrainedError as error:
        assert kept is not None  # noqa: S101 - only kept triples cannot be given back
        raise explained_by_line(error, str(options["keep_test"]), graph, kept) from error


def _about(graph: WholeGraph, options: SplitFlags, kept: TripleBlock | None) -> dict[str, Any]:
    names = ("seed", "valid", "test", "of_relation", "by", "remove_pairs")
    return {
        "tracin_dask_version": __version__,
        "input": {
            "path": str(options["train"]),
            "name": graph.source.name,
            "size_bytes": graph.source.size_bytes,
            "sha256": graph.source.sha256,
            "read_as": describes_text(graph),
        },
        "options": {name: options[name] for name in names}  # type: ignore[literal-required] # names of its own keys
        | {"keep_test": None if kept is None else str(options["keep_test"])},
    }


def _summary(graph: WholeGraph, split: Split, found: Mapping[str, Any], options: SplitFlags) -> str:
    counts, removed, files = found["counts"], found["removed"], found["files"]
    skipped = ", ".join(f"{number:,} × {kind}" for kind, number in sorted(graph.skipped.items()))
    rows = {
        "read as": describes_text(graph),
        "lines": f"{len(graph):,}",
        **({"skipped lines": skipped} if skipped else {}),
        "duplicates": f"{removed['duplicates']:,} lines repeat an earlier one, left out",
        "may be held out": f"{_triples(split.num_candidates)}{_relations_said(options)}",
        **{name: _part(files.get(name), split, name) for name in ("train", "valid", "test")},
        "taken out": _taken_out(removed, counts["train"]),
    }
    lines = [str(options["output"]), *(f"  {name:<17} {text}" for name, text in rows.items())]
    return "\n".join([*lines, *_notes(split, found)])


def _relations_said(options: SplitFlags) -> str:
    named = ", ".join(options["of_relation"])
    return f" of {named}" if named else ""


def _part(file: Mapping[str, Any] | None, split: Split, name: str) -> str:
    if file is None:
        return "no triples, no file"
    asked = {"valid": split.wanted_valid, "test": split.wanted_test}.get(name, file["triples"])
    fewer = "" if file["triples"] == asked else f" ({asked:,} were asked for)"
    kept = f"; {split.num_kept:,} of them by --keep-test" if name == "test" and split.num_kept else ""
    return (
        f"{_triples(file['triples'])}{fewer}, {file['entities']:,} entities, {file['relations']:,} "
        f"relation{'' if file['relations'] == 1 else 's'}{kept}"
    )


def _triples(number: int) -> str:
    return f"{number:,} triple{'' if number == 1 else 's'}"


def _taken_out(removed: Mapping[str, int], num_train: int) -> str:
    number = removed[SAME] + removed[INVERSE]
    if not number:
        return "no training triple"
    share = number / (number + num_train)
    return (
        f"{number:,} training triples ({share:.1%}) that link a held-out pair: {removed[SAME]:,} in its direction, "
        f"{removed[INVERSE]:,} in the other; see {REMOVED}"
    )


def _notes(split: Split, found: Mapping[str, Any]) -> list[str]:
    removed, lost = found["removed"], found["relations_without_training_triples"]
    taken_out, notes = removed[SAME] + removed[INVERSE], []
    if split.num_returned:
        notes.append(
            f"{_triples(split.num_returned)} stayed in training: an entity or a relation would have had no "
            "training triple left"
        )
    if taken_out > MUCH * (taken_out + found["counts"]["train"]):
        notes.append(
            "much of the training set was taken out: pairs of this graph have many triples; --remove-pairs inverse or "
            "none keeps more, and lets held-out triples be guessed from other relations of the same pair"
        )
    if lost:
        notes.append(f"relations without any training triple now: {', '.join(lost)}")
    return notes


def _next_command(graph: WholeGraph, found: Mapping[str, Any], options: SplitFlags) -> str:
    output = options["output"]
    words = ["tracin-dask", "train"]
    for name in found["files"]:
        words += [f"--{name}", str(output / f"{name}.txt")]
    if graph.has_ids or (options["entity_to_id"] and options["relation_to_id"]):
        for kind in ("entity", "relation"):
            given = options[f"{kind}_to_id"]  # type: ignore[literal-required] # names of its own keys
            words += [f"--{kind}-to-id", str(given)] if given else []
    words += map_words(options, (graph.entities, graph.relations))
    return shlex.join([*words, "--output-dir", "model"])
