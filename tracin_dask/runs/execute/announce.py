"""Tells whoever watches a run on Dask how it goes: the dashboard's page, metrics, and subscribers of the events."""

import logging
import time
from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from numpy import ndarray

from tracin_dask.influence.reductions import topk
from tracin_dask.influence.reductions.topk import TopK
from tracin_dask.monitor.events import FINISHED, TOPIC
from tracin_dask.runs.plan.plan import Plan
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.result import labels_of

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

MOST_TRIPLES = 20
"""Training triples in one `best` event."""
MOST_TESTS = 4
"""The first test triples, which share them."""
LEAST_SECONDS = 2.0
"""Seconds between two `best` events."""


class Announcer:
    """Sends the events of one run (`monitor.events` lists them)."""

    def __init__(self, client: "Client | None", run: str, prepared: PreparedRun, plan: Plan) -> None:
        """Bring the page to the scheduler; without a client, in a run of this process alone, no event is sent."""
        self._client, self._run = client, run
        self._prepared, self._plan = prepared, plan
        self._last = 0.0
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
        if time.monotonic() - self._last >= LEAST_SECONDS:
            self._tell_best(top)

    def finished(self, top: TopK) -> None:
        """Tell the best training triples, and that the run is over."""
        self._tell_best(top)
        self._tell("end", outcome=FINISHED)

    def failed(self, error: BaseException) -> None:
        """Tell that the run stopped, and why."""
        self._tell("end", outcome=f"stopped: {type(error).__name__}: {error}"[:500])

    def _tell(self, event: str, **contents: Any) -> None:  # noqa: ANN401 - what the event says
        """Send an event; a scheduler that is gone hears nothing of it, and no result is lost for that."""
        if self._client is None or self._client.status != "running":
            return
        try:
            self._client.log_event(TOPIC, {"event": event, "run": self._run, **contents})
        except Exception as error:  # noqa: BLE001 - whatever Dask raises, the run does not need who watches it
            logger.warning("the dashboard misses an event of this run: %s", error)

    def _tell_best(self, top: TopK) -> None:
        if self._client is not None:
            self._last = time.monotonic()
            self._tell("best", triples=self._named(top))

    def _named(self, top: TopK) -> list[dict[str, Any]]:
        num_tests = min(self._prepared.num_answers, MOST_TESTS)
        told = []
        for index in range(num_tests):
            test = self._answer(index)
            ranking = topk.ranked(top, index, self._prepared.config.ranking.rank_by).take(
                slice(MOST_TRIPLES // num_tests)
            )
            for place, (head, relation, tail) in enumerate(self._names(ranking.triples)):
                influence = float(ranking.influence[place])
                names = {"head": head, "relation": relation, "tail": tail}
                told.append({"test": test, "rank": place + 1, "influence": influence, **names})
        return told

    def _names(self, triples: Int[ndarray, "_ 3"]) -> list[tuple[str, str, str]]:
        labels = labels_of(self._prepared.store, triples)
        return [labels.call(triple) for triple in triples.tolist()]

    def _answer(self, index: int) -> str:
        """Name a test triple, or a set of them."""
        if self._prepared.sets is not None:
            return self._prepared.sets.names[index]
        tests = self._prepared.test_triples
        return "itself" if tests is None else " · ".join(self._names(tests[index : index + 1])[0])


def _bring_page(client: "Client") -> None:
    """Register the page; the run goes on without it where that does not work."""
    try:
        from tracin_dask.monitor.plugin import RunMonitor  # noqa: PLC0415 - bokeh is slow to import

        client.register_plugin(RunMonitor())
    except Exception as error:  # noqa: BLE001 - whatever the scheduler's environment lacks, the run does not need it
        logger.warning("the dashboard shows no page of this run, since its scheduler cannot load it: %s", error)
