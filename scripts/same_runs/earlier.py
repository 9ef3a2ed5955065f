"""Records the cases at an earlier commit, with the same interpreter on the same machine."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from same_runs.recording import Recording, read_recording

SCRIPTS = Path(__file__).parents[1]


def record_at(commit: str, names: Sequence[str]) -> Recording:
    """Carry out the cases of these names with the package of a commit.

    Raises
    ------
    subprocess.CalledProcessError
        If git does not know the commit, or a case fails there.
    """
    with tempfile.TemporaryDirectory(prefix="same-results-") as folder, _worktree(commit, Path(folder)) as tree:
        hashes = Path(folder) / "hashes.json"
        only = [f"--only={name}" for name in names]
        words = [sys.executable, str(SCRIPTS / "same_results.py"), "--record", "--hashes", str(hashes), *only]
        subprocess.run(words, check=True, env=os.environ | {"PYTHONPATH": str(tree)}, cwd=folder)
        return _of_commit(read_recording(hashes), tree)


@contextmanager
def _worktree(commit: str, folder: Path) -> Iterator[Path]:
    tree = folder / "tree"
    git = ["git", "-C", str(SCRIPTS), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
    try:
        yield tree
    finally:
        subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _of_commit(recording: Recording, tree: Path) -> Recording:
    """Make sure that the package of the worktree was imported, and not one that is installed."""
    head = subprocess.run(["git", "-C", str(tree), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    if recording.commit != head.stdout.strip():
        raise RuntimeError(f"the package at {recording.commit} was imported, not that at {head.stdout.strip()}")
    return recording
