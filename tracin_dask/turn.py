"""A turn at the settings that all threads of a process share: threads that compute take turns, and leave no trace.

PyTorch's number of threads, the precision of its float32 products and its default number type belong to the process.
So do the levels of forward mode (`torch.func.jvp`), and a model whose tensors others stand in for
(`torch.func.functional_call`). Automatic casts and a default device belong to the thread, and are off during a turn.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, ParamSpec

import torch

from tracin_dask.errors import ConfigError

MatmulPrecision = Literal["highest", "high", "medium"]
"""How PyTorch may round the operands of float32 products: not at all, to tf32 on a GPU, to bf16 on a CPU."""
P = ParamSpec("P")

one_at_a_time = threading.RLock()
"""Held by the thread that computes."""


@dataclass(slots=True)
class Turn:
    """A turn at the process: other turns wait, and when it ends all settings are what they were.

    Attributes
    ----------
    threads
        Threads of PyTorch's operations.
    matmul
        How float32 products may be rounded.
    """

    threads: int
    matmul: MatmulPrecision
    _found: "_Settings | None" = None
    _of_thread: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> "Turn":
        """Wait for the turn, and take the settings; numbers are float32 on the CPU unless something else is said.

        Raises
        ------
        ConfigError
            In PyTorch's inference mode, which knows no gradients.
        """
        if torch.is_inference_mode_enabled():
            raise ConfigError("torch.inference_mode is on, which knows no gradients; call this outside of it")
        one_at_a_time.acquire()
        try:
            self._take_thread()
            self._found = _Settings.now()
            torch.set_num_threads(self.threads)
            torch.set_float32_matmul_precision(self.matmul)
            torch.set_default_dtype(torch.float32)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Put the settings back, and let others take their turn."""
        if self._found is not None:  # else the wait for the turn was interrupted
            self._leave()

    def _take_thread(self) -> None:
        """Switch off what would change types or devices of this thread's numbers."""
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                self._of_thread.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            self._of_thread.enter_context(torch.device("cpu"))

    def _leave(self) -> None:
        found, self._found = self._found, None
        try:
            self._of_thread.close()
            if found is not None:
                found.put_back()
        finally:
            one_at_a_time.release()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the process to its owner for a while, for a call of a function that is not ours."""
        is_grad_enabled = self._found is None or self._found.is_grad_enabled
        self.__exit__()
        try:
            with torch.set_grad_enabled(is_grad_enabled):
                yield
        finally:
            self.__enter__()

    def outside(self, function: Callable[P, None]) -> Callable[P, None]:
        """Give a function that calls another one outside of the turn."""

        def called(*arguments: P.args, **options: P.kwargs) -> None:
            with self.paused():
                function(*arguments, **options)

        return called


@contextmanager
def matmul_at(precision: MatmulPrecision) -> Iterator[None]:
    """Let PyTorch round operands so for some products, within a turn."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def usual_turn() -> Turn:
    """Give a turn for what is computed before a run, with the caller's number of threads."""
    return Turn(torch.get_num_threads(), "highest")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """Settings of this thread and process, as they were found."""

    threads: int
    dtype: torch.dtype
    matmul: str | None
    """None where the caller mixes PyTorch's two ways to set it, so that it cannot be asked for."""
    by_backend: tuple[str, ...]
    is_grad_enabled: bool
    """Which belongs to the thread, and is left by those that change it."""

    @classmethod
    def now(cls) -> "_Settings":
        """Read the settings."""
        try:
            matmul = torch.get_float32_matmul_precision()
        except RuntimeError:
            matmul = None
        return cls(
            threads=torch.get_num_threads(),
            dtype=torch.get_default_dtype(),
            matmul=matmul,
            by_backend=tuple(backend.fp32_precision for backend in _backends()),
            is_grad_enabled=torch.is_grad_enabled(),
        )

    def put_back(self) -> None:
        """Set them again."""
        torch.set_num_threads(self.threads)
        torch.set_default_dtype(self.dtype)
        torch.set_float32_matmul_precision(self.matmul or "highest")
        for backend, precision in zip(_backends(), self.by_backend, strict=True):
            if backend.fp32_precision != precision:
                backend.fp32_precision = precision


def _backends() -> list[Any]:
    """Give the parts of PyTorch that have a precision of their own, which the common one sets, too."""
    both: tuple[Any, ...] = (torch.backends.cuda, torch.backends.mkldnn)
    return [backend.matmul for backend in both]
