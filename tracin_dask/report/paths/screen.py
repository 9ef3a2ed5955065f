"""What the terminal shows of paths: those of one answer, the list of answers, metapaths, and what was left out."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
from rich.console import RenderableType
from rich.text import Text

from tracin_dask.report.fitted import Column, FittedTable, FittedTables
from tracin_dask.report.labels import Texts
from tracin_dask.report.paths.metapaths import NO_TYPE, entity_types
from tracin_dask.report.paths.options import MOST_HOPS, PathOptions
from tracin_dask.report.paths.search import FoundPaths, listed
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.scale import Scale
from tracin_dask.report.screen import answer_words
from tracin_dask.report.words import Words
from tracin_dask.visible import visible


def paths_table(result: InfluenceResult, found: Mapping[int, FoundPaths], *, rows: int) -> RenderableType:
    """Show the best paths of the only answer, at most `rows`."""
    ((test_index, answer),) = found.items()
    title = f"Paths of {' — '.join(answer_words(result, test_index))}"
    if not answer.paths:
        return Text(f"{title}: none", style="bold")
    words, ranked, shown = Words.of(result.labels), listed(result, test_index), answer.paths[:rows]
    columns = [
        Column(heading="#", cells=[str(number) for number in range(1, len(shown) + 1)]),
        _scores("score", [path.score for path in shown]),
        Column(heading="path", cells=[words.path(path, ranked) for path in shown], is_text=True, at_spaces=True),
    ]
    return _table(title, rows, len(answer.paths), columns)


def answers_table(result: InfluenceResult, found: Mapping[int, FoundPaths], *, rows: int) -> RenderableType:
    """List answers with the number of their paths and the best score, those with the best path first."""
    best = {index: answer.paths[0].score if answer.paths else None for index, answer in found.items()}
    order = sorted(found, key=lambda index: (best[index] is None, -(best[index] or 0.0), -found[index].num_found))
    shown = order[:rows]
    words = list(zip(*(answer_words(result, index) for index in shown), strict=True))
    headings = ("head", "relation", "tail") if result.sets is None else ("set",)
    columns = [
        Column(heading="index", cells=[str(index) for index in shown]),
        *(Column(heading=name, cells=cells, is_text=True) for name, cells in zip(headings, words, strict=True)),
        Column(heading="paths", cells=[f"{found[index].num_found:,}" for index in shown]),
        _scores("best", [best[index] for index in shown]),
    ]
    return _table("Answers by their best path", rows, len(found), columns)


def metapaths_table(metapaths: pa.Table, *, rows: int, has_many: bool) -> RenderableType:
    """Show the first metapaths, at most `rows`; `has_many`: with the number of answers that have one."""
    shown = metapaths.slice(0, rows).to_pylist()
    counts = {"paths": "num_paths"} | ({"answers": "num_answers"} if has_many else {})
    columns = [
        _scores("score sum", [row["score_sum"] for row in shown]),
        *(Column(heading=name, cells=[f"{row[key]:,}" for row in shown]) for name, key in counts.items()),
        Column(heading="metapath", cells=[row["metapath"] for row in shown], is_text=True, at_spaces=True),
    ]
    return _table("Metapaths", rows, len(metapaths), columns)


def sentences(
    result: InfluenceResult, found: Mapping[int, FoundPaths], options: PathOptions, types: Mapping[str, str] | None
) -> Iterator[str]:
    """Say how many paths there are, which have no score or were left out, and what to try where there is none."""
    number = sum(answer.num_found for answer in found.values())
    triples = sum(len(listed(result, test_index)) for test_index in found)
    hops = _hops(options.fewest_hops, options.most_hops)
    answers = f" of {len(found):,} answers" if len(found) > 1 else ""
    paths = "1 path" if number == 1 else f"{number:,} paths"
    yield f"found {paths} of {hops} through the {triples:,} listed training triples{answers}"
    kept = [path for answer in found.values() for path in answer.paths]
    if len(kept) < number:
        left_out = f"{number - len(kept):,} of {number:,} paths"
        yield f"left out {left_out}, those of the lowest scores: --most-paths is {options.most_paths:,}"
    without = sum(path.score is None for path in kept)
    if without:
        yield f"{without:,} of {len(kept):,} paths have an opponent, and so no {options.measure} mean; they are last"
    yield from _without_type(result.labels.entities, {node for path in kept for node in path.nodes}, types)
    empty = sum(not answer.paths for answer in found.values())
    if empty:
        which = f"{empty:,} of {len(found):,} answers have no path" if len(found) > 1 else "there is no path"
        yield f"{which}: try {_remedies(options)}"


def _remedies(options: PathOptions) -> str:
    """Say what finds more paths."""
    remedies = ["a result with a larger --top-k"]
    if options.most_hops < MOST_HOPS:
        remedies.append(f"--most-hops {MOST_HOPS}")
    if options.fewest_hops > 1:
        remedies.append("--fewest-hops 1")
    remedies += ["no --directed"] if options.directed else []
    remedies += ["no --proponents-only"] if options.proponents_only else []
    *first, last = remedies
    return f"{', '.join(first)} or {last}" if first else last


def _without_type(entities: Texts, nodes: set[int], types: Mapping[str, str] | None) -> Iterator[str]:
    """Say how many of the entities on paths have no type, where there are such."""
    type_of = entity_types(entities, types)
    missing = sorted(node for node in nodes if type_of[node] == NO_TYPE)
    if missing:
        label = visible(dict(zip(entities.ids.tolist(), entities.labels.to_pylist(), strict=True))[missing[0]])
        remedy = "give --types" if types is None else "add them to the file of --types"
        yield f"{len(missing):,} of {len(nodes):,} entities on paths have no type, such as {label}; {remedy}"


def _table(title: str, rows: int, number: int, columns: Sequence[Column]) -> FittedTables:
    count = f"{number:,}" if number <= rows else f"the first {rows:,} of {number:,}"
    return FittedTables(tables=[FittedTable(title=f"{title}: {count}", columns=columns)])


def _scores(heading: str, scores: Sequence[float | None]) -> Column:
    """Write scores as decimals of one scale."""
    scale = Scale.of(score for score in scores if score is not None)
    cells = ["none" if score is None else scale.signed(score) for score in scores]
    return Column(heading=scale.heading(heading), cells=cells)


def _hops(fewest: int, most: int) -> str:
    if fewest == most:
        return "1 hop" if most == 1 else f"{most} hops"
    return f"{fewest} to {most} hops"
