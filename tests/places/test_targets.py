"""What lies at the path of an output stays what it is, unless it is a regular file."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracin_dask.places.explained import WriteError
from tracin_dask.places.files import write_bytes
from tracin_dask.places.place import StoreExistsError
from tracin_dask.places.registry import place_of

WRITE = """
import sys
from tracin_dask.places.files import write_bytes
write_bytes(sys.argv[1], b"a result\\n")
"""


@pytest.fixture
def device(tmp_path):
    """A device like /dev/null, which a wrong program may destroy."""
    path = tmp_path / "null"
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may make a device")
    return path


def test_a_device_is_refused_and_stays(device):
    with pytest.raises(WriteError, match=r"null is a device, not a file; choose another name"):
        write_bytes(device, b"1")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert [path.name for path in device.parent.iterdir()] == ["null"]


def test_a_device_is_refused_before_anything_is_written(device):
    with pytest.raises(WriteError, match="is a device"):
        place_of(device).check_writable()


def test_a_device_is_no_place_for_a_store(device):
    with (
        pytest.raises(StoreExistsError, match="a file is here, not a folder"),
        place_of(device).new_folder(overwrite=True),
    ):
        pass
    assert stat.S_ISCHR(device.stat().st_mode)


def test_a_link_to_a_device_is_refused(tmp_path):
    (tmp_path / "a.json").symlink_to("/dev/null")
    with pytest.raises(WriteError, match="is a device"):
        write_bytes(tmp_path / "a.json", b"1")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(WriteError, match="is a folder, not a file"):
        write_bytes(tmp_path, b"1")


def test_a_pipe_gets_all_bytes_and_stays(tmp_path):
    pipe, found = tmp_path / "pipe.json", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_bytes(pipe, b"x" * 100_000)
    reader.join()
    assert found == [b"x" * 100_000]
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_standard_output_is_written_to(tmp_path, name, kind):
    if name == "link":
        (tmp_path / "link").symlink_to("/dev/stdout")
    output = subprocess.PIPE if kind == "pipe" else (tmp_path / "redirected").open("wb")
    done = subprocess.run([sys.executable, "-c", WRITE, name], stdout=output, check=True, cwd=tmp_path)
    found = done.stdout if kind == "pipe" else (tmp_path / "redirected").read_bytes()
    assert found == b"a result\n"
    if kind == "file":
        output.close()


def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path):
    target, link = tmp_path / "deep" / "target.json", tmp_path / "link.json"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to("deep/target.json")
    write_bytes(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["target.json"]


def test_a_symbolic_link_to_a_folder_stays_and_the_folder_is_replaced(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "link.zarr").symlink_to("a.zarr")
    with place_of(tmp_path / "link.zarr").new_folder(overwrite=True) as part:
        write_bytes(part / "new", b"1")
    assert (tmp_path / "link.zarr").is_symlink()
    assert [path.name for path in (tmp_path / "a.zarr").iterdir()] == ["new"]


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").touch()
    rename = type(tmp_path).rename

    def broken(path, target):
        if path.name == "a.part":
            raise OSError(5, "Input/output error")
        return rename(path, target)

    monkeypatch.setattr(type(tmp_path), "rename", broken)
    with pytest.raises(OSError, match="Input/output"), place_of(tmp_path / "a").new_folder(overwrite=True):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "old"]
