"""Places keep their promises: the file system, an object store, and the place in memory of docs/extending.md."""

import errno
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from memory_place import documented_names

from tracin_dask.errors import PlaceError
from tracin_dask.places.files import exists, read_bytes, sha256_of, write_bytes
from tracin_dask.places.local import LocalPlace
from tracin_dask.places.place import BusyError, Place, StoreExistsError
from tracin_dask.places.registry import find_places, place_of
from tracin_dask.places.scratch import scratch_folder


@pytest.fixture
def memory() -> Callable[[str], Place]:
    """The place of docs/extending.md, empty."""
    return documented_names()["MemoryPlace"]


OTHER = os.environ.get("TRACIN_DASK_TEST_URL")
"""A folder of another object store to test with; the environment has the credentials, too."""
PLACES = ["file system", "S3", "Google", "memory", *([OTHER] if OTHER else [])]


@pytest.fixture(params=PLACES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A folder of each place."""
    if request.param == "memory":
        request.getfixturevalue("memory")
    if request.param in {"S3", "Google"}:
        url = request.getfixturevalue("s3_folder")
        url = url if request.param == "S3" else url.replace("s3://", "gs://")
    else:
        url = {"file system": str(tmp_path), "memory": "memory://here"}.get(request.param, f"{OTHER}/{uuid4().hex}")
    place = place_of(url)
    assert isinstance(place, Place)
    return place


def write(place: Place, data: bytes) -> Place:
    place.parent.make_folder()
    with place.writer() as file:
        file.write(data)
    return place


class TestEveryPlace:
    def test_a_written_file_is_read_back(self, folder):
        file = write(folder / "a.txt", b"some\nlines\n")
        assert (file.name, file.is_file(), file.is_folder(), file.num_bytes()) == ("a.txt", True, False, 11)
        with file.open() as opened:
            assert (opened.peek(1)[:1], opened.read(4), opened.read()) == (b"s", b"some", b"\nlines\n")
        assert sha256_of(file) == hashlib.sha256(b"some\nlines\n").hexdigest()

    def test_the_text_of_a_place_names_it_again(self, folder):
        file = folder / "below" / "a.txt"
        assert str(file.parent / file.name) == str(file)
        assert str(file.parent.parent) == str(folder)
        assert place_of(file) == file

    def test_a_missing_file_is_the_file_systems_error(self, folder):
        with pytest.raises(FileNotFoundError) as caught:
            (folder / "none").open()
        assert caught.value.errno == errno.ENOENT
        assert not exists(folder / "none")

    def test_an_error_while_a_file_is_written_leaves_the_old_one(self, folder):
        file = write(folder / "a.txt", b"old")

        def interrupted():
            with file.writer() as opened:
                opened.write(b"new")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            interrupted()
        assert read_bytes(file) == b"old"
        assert folder.find("*") == [file]

    def test_a_new_folder_appears_with_all_that_was_written(self, folder):
        with (folder / "new").new_folder() as part:
            write(part / "a", b"1")
            write(part / "below" / "b", b"22")
        assert read_bytes(folder / "new" / "below" / "b") == b"22"
        assert (folder / "new").num_bytes() == 3
        (folder / "new").sync()

    def test_an_error_while_a_folder_is_filled_leaves_nothing(self, folder):
        def interrupted():
            with (folder / "new").new_folder() as part:
                write(part / "a", b"1")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            interrupted()
        assert not exists(folder / "new")
        assert folder.find("*") == []

    def test_a_folder_is_replaced_only_when_asked(self, folder):
        write(folder / "new" / "old", b"1")
        with pytest.raises(StoreExistsError, match="exists already"), (folder / "new").new_folder():
            pass
        with (folder / "new").new_folder(overwrite=True) as part:
            write(part / "a", b"1")
        assert [place.name for place in (folder / "new").find("*")] == ["a"]

    def test_patterns_match_names_of_one_depth(self, folder):
        for name in ("rows-1.npz", "rows-2.npz", "run.json"):
            write(folder / name, b"")
        write(folder / "below" / "rows-3.npz", b"")
        assert sorted(place.name for place in folder.find("rows-*.npz")) == ["rows-1.npz", "rows-2.npz"]
        assert [place.name for place in folder.find("*/rows-*.npz")] == ["rows-3.npz"]
        assert [place.name for place in find_places(folder / "bel*" / "rows-?.npz")] == ["rows-3.npz"]
        assert (folder / "none").find("*") == []

    def test_deleted_files_are_gone(self, folder):
        file = write(folder / "below" / "a", b"1")
        file.delete()
        (folder / "below").delete()
        assert not exists(file)
        assert not exists(folder / "below")

    def test_scratch_lies_in_the_file_system_and_is_deleted(self, folder):
        folder.make_folder()
        with scratch_folder(folder) as scratch:
            (scratch / "run").write_bytes(b"1")
        assert not scratch.exists()

    def test_a_free_place_can_be_written(self, folder):
        (folder / "not" / "made" / "yet").check_writable()
        assert folder.free_bytes() is None or folder.free_bytes() > 0


class TestRegistry:
    def test_paths_and_file_urls_are_of_the_file_system(self, tmp_path):
        for path in (tmp_path / "a b", str(tmp_path / "a b"), f"file://{tmp_path}/a%20b", f"file:{tmp_path}/a%20b"):
            assert place_of(path) == LocalPlace(path=tmp_path / "a b")

    def test_an_unknown_kind_of_url_is_refused_with_the_known_ones(self):
        for url in ("ftp://bucket/graph.zarr", Path("ftp://bucket/graph.zarr")):
            with pytest.raises(PlaceError, match=r"^ftp://bucket/graph\.zarr: no place is known for ftp://.* file://"):
                place_of(url)

    def test_a_url_that_went_through_a_path_is_the_same_place(self, memory):
        assert place_of(Path("memory://below/a.pt")) == place_of("memory://below/a.pt") == memory("memory://below/a.pt")

    def test_a_slash_at_the_end_of_a_url_changes_nothing(self, memory, tmp_path):
        assert place_of("memory://folder/") == place_of("memory://folder") == memory("memory://folder")
        assert place_of(f"file://{tmp_path}/") == place_of(tmp_path)

    def test_names_with_colons_are_paths(self):
        for name in ("run:1/model.pt", "c:/model.pt", "./run:/model.pt"):
            assert place_of(name).local_path() == Path(name)


class TestFileSystem:
    def test_a_place_is_sent_to_a_worker(self, tmp_path):
        file = place_of(str(tmp_path / "a.txt"))
        assert pickle.loads(pickle.dumps(file)) == file  # noqa: S301 - made in this line

    def test_two_writers_of_a_folder_are_refused(self, tmp_path):
        place = place_of(tmp_path / "new")
        with (
            place.new_folder(),
            pytest.raises(BusyError, match=r"process \d+ on .* is writing here"),
            place.new_folder(),
        ):
            pass

    def test_a_full_disk_leaves_no_part(self, tmp_path, monkeypatch):
        def full(_):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            write_bytes(tmp_path / "a", b"1")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "renamed", [".a.replaced", "a"], ids=["after the old one stepped aside", "after the new one came"]
    )
    def test_a_folder_is_there_whole_whenever_its_replacement_is_stopped(self, tmp_path, monkeypatch, renamed):
        rename, place = Path.rename, place_of(tmp_path / "a")
        with place.new_folder() as part:
            write_bytes(part / "file", b"old")

        def stopped(source: Path, target: Path) -> None:
            rename(source, target)
            if target.name == renamed and source.suffix != ".replaced":
                raise KeyboardInterrupt

        monkeypatch.setattr(Path, "rename", stopped)
        with pytest.raises(KeyboardInterrupt), place.new_folder(overwrite=True) as part:
            write_bytes(part / "file", b"new")
        assert [path.name for path in tmp_path.iterdir()] == ["a"]
        assert (tmp_path / "a" / "file").read_bytes() == (b"new" if renamed == "a" else b"old")

    def test_folders_with_names_like_that_of_the_result_are_left_alone(self, tmp_path):
        names = ["a.old", "a.bak", "a~"]
        for name in names:
            (tmp_path / name).mkdir()
        for _ in range(2):
            with place_of(tmp_path / "a").new_folder(overwrite=True) as part:
                write_bytes(part / "file", b"new")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a", *names])

    def test_hidden_files_match_no_star(self, tmp_path):
        (tmp_path / "._model.pt").touch()
        (tmp_path / "model.pt").touch()
        assert place_of(tmp_path).find("*.pt") == [LocalPlace(path=tmp_path / "model.pt")]

    def test_a_folder_below_a_file_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError):
            place_of(tmp_path / "file" / "below").check_writable()

    def test_a_full_folder_is_not_deleted(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="not empty"):
            place_of(tmp_path).delete()
