"""Tells whoever watches a run on Dask how it goes: the dashboard's page, metrics, and subscribers of the events."""

import logging
import time
from typing import TYPE_CHECKING, Any

from tracin_dask.influence.reductions.topk import TopK
from tracin_dask.monitor.events import FINISHED, LISTS_TOPIC, TOPIC
from tracin_dask.runs.execute.best_lists import BestLists, a_few
from tracin_dask.runs.plan.plan import Plan
from tracin_dask.runs.prepare import PreparedRun

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

MOST_TRIPLES = 20
"""Training triples in one `best` event."""
MOST_TESTS = 4
"""The first test triples, which share them."""
LEAST_SECONDS = 2.0
"""Seconds between two `best` events."""
LEAST_PAUSE = 20
"""A pause between them is at least so many times as long as it takes to look up their names."""


class Announcer:
    """Sends the events of one run (`monitor.events` lists them)."""

    def __init__(self, client: "Client | None", run: str, prepared: PreparedRun, plan: Plan) -> None:
        """Bring the page to the scheduler; without a client, in a run of this process alone, no event is sent."""
        self._client, self._run = client, run
        self._prepared, self._plan = prepared, plan
        self._best = BestLists(prepared) if client is not None else None
        self._sent: list[dict[str, Any]] = []
        self._next = 0.0
        if client is not None:
            _bring_page(client)

    def started(self, num_tasks: int, resumed_triples: int) -> None:
        """Tell what is to be done."""
        tests = self._prepared.test_triples
        self._tell(
            "start",
            triples=self._plan.num_triples,
            tasks=num_tasks,
            resumed_triples=resumed_triples,
            test_triples=0 if tests is None else len(tests),
        )

    def best(self, top: TopK) -> None:
        """Tell the best training triples so far, now and then."""
        if time.monotonic() >= self._next:
            self._tell_best(top)

    def finished(self, top: TopK) -> None:
        """Tell the best training triples, and that the run is over."""
        self._tell_best(top)
        self._tell("end", outcome=FINISHED)

    def failed(self, error: BaseException) -> None:
        """Tell that the run stopped, and why."""
        self._tell("end", outcome=f"stopped: {type(error).__name__}: {error}"[:500])

    def _tell(self, event: str, topic: str = TOPIC, **contents: Any) -> None:  # noqa: ANN401 - what the event says
        """Send an event; a scheduler that is gone hears nothing of it, and no result is lost for that."""
        if self._client is None or self._client.status != "running":
            return
        try:
            self._client.log_event(topic, {"event": event, "run": self._run, **contents})
        except Exception as error:  # noqa: BLE001 - whatever Dask raises, the run does not need who watches it
            logger.warning("the dashboard misses an event of this run: %s", error)

    def _tell_best(self, top: TopK) -> None:
        """Tell the lists of the first test triples, unless they are the same as before."""
        if self._best is None:
            return
        started = time.monotonic()
        lists = self._best.named(top)
        now = time.monotonic()
        self._next = now + max(LEAST_SECONDS, LEAST_PAUSE * (now - started))
        if lists != self._sent:
            self._sent = lists
            self._tell("best", triples=a_few(lists, tests=MOST_TESTS, triples=MOST_TRIPLES))
            self._tell("lists", LISTS_TOPIC, word=self._best.word, total=self._best.total, lists=lists)


def _bring_page(client: "Client") -> None:
    """Register the page; the run goes on without it where that does not work."""
    try:
        from tracin_dask.monitor.plugin import RunMonitor  # noqa: PLC0415 - bokeh is slow to import

        client.register_plugin(RunMonitor())
    except Exception as error:  # noqa: BLE001 - whatever the scheduler's environment lacks, the run does not need it
        logger.warning("the dashboard shows no page of this run, since its scheduler cannot load it: %s", error)
