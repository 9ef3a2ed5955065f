"""How long a run waits for its workers before it says so, gives up, or closes without them."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The waiting times of a run on workers, in seconds."""

    look_seconds: float = 5.0
    """Time between two looks at the scheduler and its workers."""
    answer_seconds: float = 10.0
    """How long the scheduler may take to answer before the run says so."""
    tell_seconds: float = 30.0
    """How long workers may be missing or silent before the run says so.

    A cluster of this machine whose workers are all gone ends the run then: nothing would start them again.
    """
    repeat_seconds: float = 600.0
    """Time between two messages about the same trouble."""
    close_seconds: float = 30.0
    """How long a finished run waits for its workers to end before it kills them."""
    stop_seconds: float = 2.0
    """The same for a run that is stopped by Ctrl-C or SIGTERM, whose workers are killed first."""

    @contextmanager
    def telling(self, message: str) -> Iterator[None]:
        """Say what is waited for, if the block takes long."""
        timer = threading.Timer(self.tell_seconds, logger.warning, [message])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
