"""The small real graph that comes with the package: UMLS, split into training, validation and test triples."""

from importlib.resources import files
from pathlib import Path

from tracin_dask.places.files import exists, write_bytes
from tracin_dask.places.place import Place, StoreExistsError

TRIPLES = ("train.txt", "valid.txt", "test.txt")


def write_example(output: Place) -> None:
    """Write the graph's text files, and a page on their source and licence, into a new folder.

    Raises
    ------
    StoreExistsError
        If the folder exists.
    """
    if exists(output):
        raise StoreExistsError(f"{output}: exists already; name a folder that does not exist")
    with output.new_folder() as folder:
        for name in (*TRIPLES, "README.md"):
            write_bytes(folder / name, (_folder() / name).read_bytes())


def _folder() -> Path:
    """Find the files in an installed package, or in the checkout."""
    package = Path(str(files("tracin_dask")))
    installed = package / "umls"
    return installed if installed.is_dir() else package.parent / "tests" / "data" / "umls"
