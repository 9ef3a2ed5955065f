"""Folders of results: files of an earlier result are never mixed with new ones, and no other files are touched."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from made_results import made_groups, made_result, ranked
from result_bits import result_bits

from tracin_dask.errors import ResultError
from tracin_dask.report import folder
from tracin_dask.report.folder import RECORDS
from tracin_dask.report.formats import read_result


def two_results():
    """Give the results of two test triples, and of another one with groups."""
    sides = (ranked([-2.0, 0.5]), ranked([1.0, 0.25], 7))
    tests = np.array([[0, 1, 2], [3, 0, 4]])
    both = made_result(sides[0], test_triples=tests, rankings=sides, further=(ranked([]), ranked([0.125], 50)))
    groups = made_groups("relation", np.array([[1.0], [-3.0]]), np.arange(2), [None, None])
    run = {"groupings": [{"group_by": "relation"}]}
    return both, made_result(ranked([3.0]), test_triples=np.array([[5, 1, 6]]), groups=(groups,), run=run)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


BOTH = ["summary.json", "triple_0_1_2.json", "triple_3_0_4.json"]


def test_an_earlier_result_is_kept_unless_it_is_to_be_overwritten(tmp_path):
    both, other = two_results()
    both.write_directory(tmp_path)
    with pytest.raises(ResultError, match=r"has 3 file\(s\) of an earlier result, e\.g\. summary\.json; .*--overwrite"):
        other.write_directory(tmp_path)
    assert names(tmp_path) == BOTH
    assert result_bits(read_result(tmp_path)) == result_bits(both)
    other.write_directory(tmp_path, overwrite=True)
    assert names(tmp_path) == ["all_groups.parquet", "summary.json", "triple_5_1_6.json"]
    assert result_bits(read_result(tmp_path)) == result_bits(other)
    both.write_directory(tmp_path, overwrite=True)
    assert names(tmp_path) == BOTH


def test_other_files_stay(tmp_path):
    mine = ["notes.txt", "triple_of_mine.json", "groups.parquet", "why.json"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    both, other = two_results()
    both.write_directory(tmp_path)
    other.write_directory(tmp_path, overwrite=True)
    assert [(tmp_path / name).read_text() for name in mine] == ["mine"] * 4


def test_a_summary_of_something_else_is_never_overwritten(tmp_path):
    (tmp_path / "summary.json").write_text('{"loss": 0.5}')
    for overwrite in (False, True):
        with pytest.raises(ResultError, match=r"summary\.json: no result .* 'run' is missing; .*this file stays"):
            two_results()[0].write_directory(tmp_path, overwrite=overwrite)
    assert names(tmp_path) == ["summary.json"]


def test_what_an_interrupted_run_has_written_is_written_again(tmp_path):
    both, other = two_results()
    other.write_directory(tmp_path)
    (tmp_path / "summary.json").unlink()
    with pytest.raises(ResultError, match=r"has 2 file\(s\) of an earlier result, e\.g\. all_groups\.parquet"):
        both.write_directory(tmp_path)
    (tmp_path / RECORDS).mkdir()
    both.write_directory(tmp_path)
    assert names(tmp_path) == [RECORDS, *BOTH]


def test_a_folder_without_a_result_is_named(tmp_path):
    with pytest.raises(ResultError, match=r"summary\.json: cannot be read \(No such file.*--output-dir"):
        read_result(tmp_path)


def test_a_file_that_the_summary_lists_must_be_there_and_of_its_run(tmp_path):
    both, _ = two_results()
    both.write_directory(tmp_path)
    path = tmp_path / "triple_3_0_4.json"
    contents = json.loads(path.read_text())
    path.write_text(json.dumps(contents | {"run": contents["run"] | {"seconds": 2.5}}))
    with pytest.raises(ResultError, match=r"triple_3_0_4\.json: is of another run than summary\.json"):
        read_result(tmp_path)
    path.unlink()
    with pytest.raises(ResultError, match=r"triple_3_0_4\.json: cannot be read"):
        read_result(tmp_path)


def test_groups_of_another_result_are_refused(tmp_path):
    _, other = two_results()
    other.write_directory(tmp_path / "a")
    replace(other, run={**other.run, "seconds": 9.0}).write_directory(tmp_path / "b")
    (tmp_path / "b" / "all_groups.parquet").replace(tmp_path / "a" / "all_groups.parquet")
    with pytest.raises(ResultError, match=r"all_groups\.parquet: has the groups of another result"):
        read_result(tmp_path / "a")
    (tmp_path / "a" / "all_groups.parquet").write_bytes(b"PAR1")
    with pytest.raises(ResultError, match=r"all_groups\.parquet: no totals of groups, or damaged ones"):
        read_result(tmp_path / "a")


def at_the_same_time(do, number=2):
    """Give `do` as a function whose calls end together: calls that come one after another are an error."""
    together = threading.Barrier(number, timeout=20)

    def wait(*given):
        together.wait()
        return do(*given)

    return wait


def test_files_of_answers_in_an_object_store_are_written_and_read_at_the_same_time(s3_folder, monkeypatch):
    both, _ = two_results()
    write, read = at_the_same_time(folder.write_json_file), at_the_same_time(folder.read_contents)

    def write_file(place, contents):
        (folder_write if place.name == folder.SUMMARY else write)(place, contents)

    def read_file(place):
        return (folder_read if place.name == folder.SUMMARY else read)(place)

    folder_write, folder_read = folder.write_json_file, folder.read_contents
    monkeypatch.setattr(folder, "write_json_file", write_file)
    monkeypatch.setattr(folder, "read_contents", read_file)
    both.write_directory(s3_folder)
    assert result_bits(read_result(s3_folder)) == result_bits(both)
