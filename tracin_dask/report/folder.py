"""A result as a folder: a JSON file per test triple, and `summary.json`, which is written last and lists them."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tracin_dask.errors import ResultError
from tracin_dask.places.at_once import at_once
from tracin_dask.places.files import exists, write_json_file
from tracin_dask.places.place import Place
from tracin_dask.report.group_file import write_groups
from tracin_dask.report.json import (
    explained,
    from_dicts,
    read_contents,
    to_dict,
    with_all_groups,
    with_groups,
)
from tracin_dask.report.json_parts import CONTRAST_PREDICTION
from tracin_dask.report.predictions import PREDICTION
from tracin_dask.report.result import InfluenceResult
from tracin_dask.report.self_influences import TEST
from tracin_dask.report.specificity import specificity_of

Run = Mapping[str, Any]
"""The metadata of a run."""
SUMMARY, GROUPS, SELF = "summary.json", "all_groups.parquet", "self_influence.json"
RECORDS = ".progress"
"""Of an interrupted run, which goes on when its command is given again."""
SUMMARISED = ("test_triple", "test_set", "contrast", TEST, PREDICTION, CONTRAST_PREDICTION, "test_gradient_norm")
ANSWER_STEM = r"(?:set_\d+|triple_\d+_\d+_\d+(?:_not_\d+)?(?:_again_\d+)?)"
"""How the files of answers are called, as `answer_stems` names them, but for those of self-influence."""
_OF_ANSWER = re.compile(rf"{ANSWER_STEM}\.json")


def write_directory(result: InfluenceResult, directory: Place, *, overwrite: bool = False) -> Place:
    """Write a file per test triple and the summary; gives the path of the summary.

    Files of an earlier result that are not written again are deleted last: what fails before loses no answer.

    Raises
    ------
    ResultError
        If the folder has files of an earlier result, and these are not to be overwritten.
    """
    refuse_earlier(directory, overwrite=overwrite)
    directory.make_folder()
    earlier = {file.name: file for file in earlier_files(directory)}
    beside: Place | None = None
    if result.groups:
        beside = directory / GROUPS
        write_groups(result, beside)

    def write(answer: tuple[int, str]) -> dict[str, Any]:
        """Write the file of an answer, and give what the summary says of it."""
        index, stem = answer
        name = f"{stem}.json"
        contents = with_groups(to_dict(result, index), beside, index)
        write_json_file(directory / name, contents)
        summary = {"index": index, "file": name, "num_influences": len(result.rankings[index])}
        return summary | {key: contents[key] for key in SUMMARISED if key in contents}

    summaries = list(at_once(write, enumerate(answer_stems(result)), directory))
    about: dict[str, Any] = {
        "num_results": len(summaries),
        "top_k": result.top_k,
        "learning_rate": result.learning_rate,
    }
    specificity = specificity_of(result)
    if specificity is not None:
        about["specificity"] = specificity.to_dict()
    write_json_file(directory / SUMMARY, about | {"results": summaries, "run": dict(result.run)})
    written = {SUMMARY, *(str(summary["file"]) for summary in summaries), *([GROUPS] if result.groups else [])}
    left = [earlier[name] for name in earlier.keys() - written]
    list(at_once(operator.methodcaller("delete"), left, directory))
    return directory / SUMMARY


def read_directory(
    directory: Place, *, all_groups: bool = True, is_same: Callable[[Run, Run], bool] = operator.eq
) -> InfluenceResult:
    """Read the result of all test triples that the summary lists; `all_groups`: also those of the separate file.

    `is_same` tells whether the run of the summary and that of a file may stand in one result.

    Raises
    ------
    ResultError
        If the folder has no summary, a file is missing or damaged, or one is of another run.
    """
    summary = read_contents(directory / SUMMARY)
    with explained(directory / SUMMARY):
        files = [directory / about["file"] for about in summary["results"]]
    contents = list(at_once(read_contents, files, directory))
    for file, one in zip(files, contents, strict=True):
        if not is_same(summary["run"], one["run"]):
            raise ResultError(f"{file}: is of another run than {SUMMARY}; run again into an empty folder")
    contents = [one | {"run": summary["run"]} for one in contents]
    with explained(directory):
        result = from_dicts(contents)
    return with_all_groups(result, directory, contents) if all_groups else result


def refuse_earlier(directory: Place, *, overwrite: bool = False) -> None:
    """Refuse a folder that has an earlier result, unless it is to be overwritten, or a summary that is not ours.

    Files without a summary are of a run that was interrupted while it wrote them, if its records are there, too.

    Raises
    ------
    ResultError
        Naming what was found.
    """
    found = list(earlier_files(directory))
    if not found or overwrite:
        return
    is_interrupted = exists(directory / RECORDS) and not exists(directory / SUMMARY)
    if not is_interrupted:
        raise ResultError(
            f"{directory}: has {len(found):,} file(s) of an earlier result, e.g. {found[0].name}; choose another "
            "folder, or pass --overwrite (overwrite=True) to remove them"
        )


def earlier_files(directory: Place) -> Iterator[Place]:
    """Find the files of an earlier result, which have names that no others have; the summary comes first.

    Raises
    ------
    ResultError
        If there is a `summary.json` that is not a result.
    """
    summary = directory / SUMMARY
    if exists(summary):
        _refuse_foreign(summary)
        yield summary
    names = sorted(file.name for file in directory.find("*.*"))
    yield from (directory / name for name in names if name in {GROUPS, SELF} or _OF_ANSWER.fullmatch(name))


def _refuse_foreign(summary: Place) -> None:
    try:
        read_contents(summary)
    except ResultError as error:
        raise ResultError(f"{error}; or, to write a result, choose another folder: this file stays") from error


def answer_stems(result: InfluenceResult) -> Iterator[str]:
    """Name the answers, as their files are called; of a test triple that is repeated, the later ones are numbered."""
    seen: dict[str, int] = {}
    for index in range(len(result.rankings)):
        if result.test_triples is None:
            yield SELF.removesuffix(".json")
            continue
        if result.sets is not None:
            yield f"set_{index}"
            continue
        triple, other = result.question(index)
        stem = f"triple_{'_'.join(map(str, triple))}" + ("" if other is None else f"_not_{other}")
        seen[stem] = seen.get(stem, 0) + 1
        yield stem if seen[stem] == 1 else f"{stem}_again_{seen[stem]}"
