"""Ctrl-C and SIGTERM: a command ends within seconds, with one line, and leaves no process behind."""

import atexit
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import util
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tracin_dask.cli.say import say_at_the_end

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LIMIT_SECONDS = 6.0
"""A command that has not ended by itself so long after a signal is ended from outside."""


class Stopped(KeyboardInterrupt):
    """A signal stops the command; a plain `KeyboardInterrupt` in an import would let Python kill itself at its end."""


class _Stop:
    """The signal that stops this process, and what is left of its work; there is one of it."""

    number: int | None = None
    is_said = False
    kept: Callable[[], str] | None = None


@contextmanager
def signals_handled() -> Iterator[None]:
    """Let the first SIGINT or SIGTERM raise `KeyboardInterrupt` in this thread, and ignore all that follow.

    A second thread sees to it that the command ends then, even where a library loses the exception or computes on.
    """
    handled = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    if threading.current_thread() is not threading.main_thread() or not handled:
        yield
        return
    arrived, wakeup = socket.socketpair()
    wakeup.setblocking(False)  # noqa: FBT003 - the method's only argument
    before_wakeup = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, _stop) for number in handled}
    os.register_at_fork(after_in_child=_leave_to_parent)
    threading.Thread(target=_watch, args=(arrived,), name="signals", daemon=True).start()
    try:
        yield
    finally:
        if not is_stopping():
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_wakeup)
            wakeup.close()  # which ends the thread
            atexit.register(_ignore_signals)  # the work is done


@contextmanager
def keeping(what: Callable[[], str]) -> Iterator[None]:
    """Say what is left of the work if the block is stopped."""
    before, _Stop.kept = _Stop.kept, what
    try:
        yield
    except Exception:
        _Stop.kept = before
        raise
    _Stop.kept = before  # not if it is stopped


def is_stopping() -> bool:
    """Tell whether a signal arrived: whatever goes wrong from then on is no news."""
    return _Stop.number is not None


def exit_stopped() -> NoReturn:
    """Print the one line, and exit as a program does that a signal ends; without a signal it was Ctrl-C."""
    if is_stopping():
        _ignore_signals()
        _kill_children(lambda line: "spawn_main" in line)  # workers that were just about to start
    _say()
    sys.exit(_exit_code())


def _exit_code() -> int:
    return 128 + (_Stop.number or signal.SIGINT)


def _say() -> None:
    """Say once what is left."""
    if _Stop.is_said and is_stopping():
        return
    _Stop.is_said = True
    kept, _Stop.kept = _Stop.kept, None
    say_at_the_end("stopped" if kept is None else f"stopped; {kept()}")


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
    _ignore_signals()
    signal.set_wakeup_fd(-1)
    _Stop.number = number
    _silence()
    if not _Stop.is_said:
        raise Stopped


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave_to_parent() -> None:
    """Let a process that is forked off, such as one that prepares batches, be ended by its parent alone."""
    if _stop in map(signal.getsignal, SIGNALS):
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def _watch(arrived: socket.socket) -> None:
    """Wait for a signal, even one that Python has not seen yet; end the process if it does not end by itself."""
    with arrived:
        while received := arrived.recv(1):
            if received[0] in SIGNALS:
                _Stop.number = received[0]
                _silence()
                time.sleep(LIMIT_SECONDS)
                _end_process()


def _end_process() -> NoReturn:
    """End the process from outside of its main thread; worker processes end first."""
    try:
        _kill_children(lambda line: "resource_tracker" not in line)  # which frees what the others hold
        _say()
        free_semaphores: Callable[[int], None] = vars(util)["_run_finalizers"]
        free_semaphores(0)  # else the resource tracker would print a warning for each of them
        shutil.rmtree(util.get_temp_dir(), ignore_errors=True)
        _remove_scratch()
    finally:
        os._exit(_exit_code())


def _remove_scratch() -> None:
    """Remove the folders of temporary files that Dask's scheduler has in this process, and removes when it ends."""
    diskutils = sys.modules.get("distributed.diskutils")
    if diskutils is None:
        return
    for lock in list(diskutils.WorkSpace._known_locks):  # noqa: SLF001 - they have no public name
        shutil.rmtree(lock.removesuffix(diskutils.DIR_LOCK_EXT), ignore_errors=True)
        with suppress(OSError):
            Path(lock).unlink()


def _silence() -> None:
    """Hide what libraries print when they are interrupted.

    `logging.disable` would wait for a lock that stays taken if the main thread is interrupted at the wrong moment.
    """
    logging.Handler.handle = lambda *_: False  # type: ignore[method-assign] # for all handlers, without their locks
    warnings.simplefilter("ignore")
    sys.unraisablehook = lambda _: None
    threading.excepthook = lambda _: None


def _kill_children(is_meant: Callable[[str], bool]) -> None:
    """Kill the processes below this one whose command lines are meant."""
    import psutil  # noqa: PLC0415 - only for a stopped command

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if is_meant(" ".join(child.cmdline())):
                child.kill()
