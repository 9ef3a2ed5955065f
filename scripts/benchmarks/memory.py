"""The peak memory of this process between two moments, as Linux counts it."""

from pathlib import Path

_SELF = Path("/proc/self")


class NoPeakError(RuntimeError):
    """This system does not count a process's peak memory as Linux does."""


def forget_peak() -> int:
    """Let the peak be counted anew; give the bytes that are held now.

    Raises
    ------
    NoPeakError
        Where there is no /proc of Linux.
    """
    try:
        (_SELF / "clear_refs").write_text("5")
    except OSError as error:
        raise NoPeakError(f"{_SELF / 'clear_refs'} cannot be written ({error}); peaks are measured on Linux") from error
    return _status("VmRSS")


def peak_bytes() -> int:
    """Give the most bytes held since `forget_peak`."""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = (_SELF / "status").read_text().splitlines()
    kilobytes = next(line for line in lines if line.startswith(f"{name}:")).split()[1]
    return int(kilobytes) * 1024
