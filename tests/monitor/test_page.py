"""The page's document shows the figures of a run; test_browser.py opens the real page."""

from bokeh.document import Document

from tracin_dask.monitor.page import NO_RUN, fill
from tracin_dask.monitor.state import RunState

START = {"event": "start", "run": "a1", "triples": 1_000, "tasks": 4, "resumed_triples": 0, "test_triples": 1}


def shown(figures) -> Document:
    document = Document()
    fill(document, figures)
    return document


def test_the_page_says_that_no_run_has_started():
    assert shown(lambda: None).select_one({"name": "headline"}).text == NO_RUN


def test_the_page_shows_progress_speed_strongest_triples_and_failures():
    run = RunState(START, now=100.0)
    run.task_started((0, 500))
    run.task_finished((0, 500), "tcp://w1", now=101.0)
    run.task_failed((500, 600), "tcp://w1", "<b>boom</b>", now=101.0)
    run.best([{"test": "a · r · b", "rank": 1, "influence": 0.25, "head": "h", "relation": "r", "tail": "t"}])
    document = shown(lambda: run.figures(102.0))
    headline = document.select_one({"name": "headline"}).text
    for part in (
        "<b>500</b> of 1,000 training triples (50.0%)",
        "<b>1</b> of 4 tasks",
        "250 triples/s",
        "0:00:02</b> left",
    ):
        assert part in headline
    assert document.select_one({"name": "workers"}).data == {"worker": ["tcp://w1"], "rate": [250.0]}
    assert document.select_one({"name": "best"}).data["tail"] == ["t"]
    assert document.select_one({"name": "speed"}).data["time"] == [101_000.0]
    assert "&lt;b&gt;boom&lt;/b&gt;" in document.select_one({"name": "failures"}).text
