"""Tasks that kill their workers; in a file of their own, since workers import it, and a test's imports take seconds."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


def killed_once(function: Callable[..., Any], flag: str, left: str, *arguments: Any) -> Any:
    """Carry out a task, and kill its worker before the outcome is known, once; a piece of a file is left."""
    outcome = function(*arguments)
    with contextlib.suppress(FileExistsError):
        Path(flag).touch(exist_ok=False)
        Path(left).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return outcome


def killed(*_: object) -> None:
    """Kill the worker."""
    os.kill(os.getpid(), signal.SIGKILL)
