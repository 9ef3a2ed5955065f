"""Scheduler plugin that follows runs and shows them. No other module uses private parts of Dask's dashboard."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import prometheus_client
from bokeh.document import Document
from distributed import Scheduler, SchedulerPlugin
from tornado.ioloop import IOLoop

from tracin_dask.monitor.events import LISTS_TOPIC, PAGE, SCORE_TASK, TOPIC, progress_topic
from tracin_dask.monitor.metrics import RunMetrics
from tracin_dask.monitor.origins import same_pages
from tracin_dask.monitor.page import Update, fill
from tracin_dask.monitor.state import Figures, RunState

MAX_RUNS = 8
"""Number of runs that the plugin remembers."""
TEMPLATE = """
{% extends "simple.html" %}
{% block extra_resources %}<style>
body { padding: 0 0 1rem; } .navbar { position: static; } .navbar li a { padding: 11px; }
.content { box-sizing: border-box; padding: 0 10px; }
</style>{% endblock %}
"""
"""Dask's own, with a menu that does not hide the first lines of the page where a narrow window breaks it."""


class RunMonitor(SchedulerPlugin):
    """Serves `/tracin` on the dashboard, and metrics of the run that started last."""

    name = "tracin-dask"
    idempotent = True

    async def start(self, scheduler: Scheduler) -> None:
        """Add the page and the metrics to a scheduler."""
        self._scheduler = scheduler
        self._runs: dict[str, RunState] = {}
        self._metrics = RunMetrics(self._figures)
        prometheus_client.REGISTRY.register(self._metrics)
        self._pages = _Pages(self._figures)
        _serve(scheduler, self._pages)

    async def close(self) -> None:
        """Unregister the metrics: the next scheduler in this process registers its own."""
        prometheus_client.REGISTRY.unregister(self._metrics)

    def log_event(self, topic: str, msg: Any) -> None:  # noqa: ANN401 - Dask's signature
        """Record an event of a run."""
        if topic == LISTS_TOPIC:
            self._scheduler._broker.truncate(LISTS_TOPIC)  # noqa: SLF001 - else it would keep a thousand of them
        elif topic != TOPIC:
            return
        now = time.time()
        match msg:
            case {"event": "start", "run": name}:
                self._runs[name] = RunState(msg, now)
                while len(self._runs) > MAX_RUNS:
                    del self._runs[next(iter(self._runs))]
            case {"event": event, "run": name} if name in self._runs:
                self._record(self._runs[name], event, msg, now)

    def _record(self, run: RunState, event: str, msg: Mapping[str, Any], now: float) -> None:
        if event == "rows":
            run.reported(msg["worker"], msg["task"], msg["rows"], now)
        elif event == "best":
            run.best(msg["triples"])
        elif event == "lists":
            run.lists(msg)
        elif event == "end":
            run.ended(msg["outcome"], now)
            self._pages.update()  # the scheduler of a run may close at once
            # nobody listens any more: else a scheduler would keep the progress of all its runs
            self._scheduler._broker.truncate(progress_topic(msg["run"]))  # noqa: SLF001 - it has no public name

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - Dask's signature
        """Record when a scoring task starts, finishes or fails."""
        match key:
            case (name, first, last) if str(name).startswith(SCORE_TASK):
                run = self._runs.get(name.removeprefix(SCORE_TASK))
            case _:
                return
        if run is None:
            return
        rows, worker = (int(first), int(last)), str(kwargs.get("worker", ""))
        if finish == "processing":
            run.task_started(rows)
        elif (start, finish) == ("processing", "memory"):
            run.task_finished(rows, worker, time.time())
        elif finish == "erred":
            run.task_failed(rows, worker, str(kwargs.get("exception_text", "")), time.time())

    def remove_worker(self, scheduler: Scheduler, worker: str, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - Dask's signature
        """Record that a worker left."""
        for run in self._runs.values():
            run.worker_lost(worker, time.time())

    def _figures(self) -> Figures | None:
        """Return the current figures of the run that started last."""
        last = next(reversed(self._runs.values()), None)
        return None if last is None else last.figures(time.time())


class _Pages:
    """The page as it is open in some browsers."""

    def __init__(self, figures: Callable[[], Figures | None]) -> None:
        self._figures = figures
        self._updates: dict[Document, Update] = {}

    def open(self, document: Document, address: str) -> None:
        """Show the run in a browser, until that closes the page."""
        self._updates[document] = fill(document, self._figures, address)

        def closed(_: object) -> None:
            self._updates.pop(document, None)

        document.on_session_destroyed(closed)

    def update(self) -> None:
        """Show what is new now, not in a second."""
        for document, update in self._updates.items():
            document.add_next_tick_callback(update)


def _serve(scheduler: Scheduler, pages: _Pages) -> None:
    """Serve the page among Dask's own pages, with their template and a menu entry."""
    from distributed.dashboard.components.scheduler import env  # noqa: PLC0415 - slow, and private
    from distributed.dashboard.core import BokehApplication  # noqa: PLC0415 - bokeh is slow to import
    from distributed.dashboard.scheduler import template_variables  # noqa: PLC0415 - bokeh is slow to import

    menu = template_variables(scheduler)["pages"]
    if PAGE not in menu:
        menu.append(PAGE)

    def page(scheduler: Scheduler, extra: Mapping[str, Any], document: Document) -> None:
        document.template = env.from_string(TEMPLATE)
        document.template_variables.update(extra)
        pages.open(document, scheduler.address)

    application = BokehApplication(
        {f"/{PAGE}": page}, scheduler, prefix="", template_variables=template_variables(scheduler)
    )
    same_pages(application, scheduler)
    scheduler.http_application.add_application(application)
    application.initialize(IOLoop.current())


def dask_setup(scheduler: Scheduler) -> None:
    """Bring the page to a scheduler before its first run: `dask scheduler --preload tracin_dask.monitor.plugin`.

    Dask calls this, and then `start` of all plugins.
    """
    scheduler.add_plugin(RunMonitor())
