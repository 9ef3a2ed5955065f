"""Files that are no checkpoints at all, named for what they are."""

_BEGINNINGS = (
    (b"version https://git-lfs", "a pointer of git-lfs, not the file itself: run `git lfs pull`"),
    (b"<!DOCTYPE", "an HTML page: the download was answered by a web page; download the file itself"),
    (b"<!doctype", "an HTML page: the download was answered by a web page; download the file itself"),
    (b"<html", "an HTML page: the download was answered by a web page; download the file itself"),
    (b"\x1f\x8b", "compressed by gzip: decompress it"),
    (b"BZh", "compressed by bzip2: decompress it"),
    (b"\xfd7zXZ", "compressed by xz: decompress it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: decompress it"),
    (b"\x93NUMPY", "an array of NumPy (.npy); expected a torch file of named tensors"),
    (b"\x89HDF", "an HDF5 file; expected a torch file of named tensors"),
)


def foreign_kind(start: bytes) -> str | None:
    """Say what a file is that begins so, and what to do; None where that is not known."""
    return next((kind for beginning, kind in _BEGINNINGS if start.startswith(beginning)), None)
