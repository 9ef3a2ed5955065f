"""The page's document shows the figures of a run; test_browser.py opens the real page."""

from bokeh.document import Document

from tracin_dask.monitor.page import MOST_WORKERS, fill
from tracin_dask.monitor.state import RunState
from tracin_dask.monitor.words import CELL_LETTERS, shortened

ADDRESS = "tcp://10.0.0.5:8786"
START = {"event": "start", "run": "a1", "triples": 1_000, "tasks": 4, "resumed_triples": 0, "test_triples": 1}
LONG = "http://purl.obolibrary.org/obo/" + "a<b" * 40 + "/MONDO_0005148"


def lists_of(*tests: str, total: int = 2, tail: str = "t") -> dict:
    lists = [{"test": test, "triples": [(0.25, f"head of {test}", "r", tail)]} for test in tests]
    return {"event": "lists", "run": "a1", "word": "test triple", "total": total, "lists": lists}


def shown(figures) -> Document:
    document = Document()
    fill(document, figures, ADDRESS)
    return document


def text(document: Document, name: str) -> str:
    return document.select_one({"name": name}).text


def test_before_the_first_run_the_page_says_how_to_start_one():
    assert f"tracin-dask run ... --cluster {ADDRESS}" in text(shown(lambda: None), "headline")


def test_the_page_shows_progress_speed_strongest_triples_and_failures():
    run = RunState(START, now=100.0)
    run.task_started((0, 500))
    run.task_finished((0, 500), "tcp://w1", now=101.0)
    run.task_failed((500, 600), "tcp://w1", "<b>boom</b>", now=101.0)
    run.lists(lists_of("a · r · b"))
    document = shown(lambda: run.figures(102.0))
    for part in (
        '<progress max="1000" value="500"',
        "<b>500</b> of 1,000 training triples (50.0%)",
        "<b>1</b> of 4 tasks",
        "250 triples/s",
        "0:00:02 left</b>",
    ):
        assert part in text(document, "headline")
    assert document.select_one({"name": "workers"}).data == {"worker": ["tcp://w1"], "rate": [250.0]}
    assert "head of a · r · b" in text(document, "best")
    assert document.select_one({"name": "speed"}).data["time"] == [101_000.0]
    assert "&lt;b&gt;boom&lt;/b&gt;" in text(document, "failures")


def test_the_chosen_test_triple_stays_while_its_list_changes():
    run = RunState(START, now=100.0)
    run.lists(lists_of("one", "two", total=7_500))
    document = Document()
    update = fill(document, lambda: run.figures(102.0), ADDRESS)
    choice = document.select_one({"name": "choice"})
    assert choice.visible
    assert [name for _, name in choice.options] == ["1. one", "2. two"]
    assert "The first 2 of 7,500 test triples" in text(document, "title")
    assert "head of one" in text(document, "best")
    choice.value = "1"
    assert "head of two" in text(document, "best")
    run.lists(lists_of("one", "two", tail="new"))
    update()
    assert "head of two" in text(document, "best")
    assert ">new</td>" in text(document, "best")


def test_a_run_that_starts_later_shows_its_first_test_triple():
    runs = [RunState(START, now=100.0), RunState(START | {"run": "b2"}, now=100.0)]
    for run in runs:
        run.lists(lists_of("one", "two"))
    document, seen = Document(), [runs[0]]
    update = fill(document, lambda: seen[0].figures(102.0), ADDRESS)
    document.select_one({"name": "choice"}).value = "1"
    seen[0] = runs[1]
    update()
    assert document.select_one({"name": "choice"}).value == "0"
    assert "head of one" in text(document, "best")


def test_a_long_name_is_shortened_in_its_middle_and_whole_in_the_tooltip():
    run = RunState(START, now=100.0)
    run.lists(lists_of("one", tail=LONG))
    table = text(shown(lambda: run.figures(102.0)), "best")
    whole = LONG.replace("<", "&lt;")
    assert f'title="{whole}"' in table
    assert table.count(whole) == 1
    short = shortened(LONG, CELL_LETTERS)
    assert len(short) == CELL_LETTERS
    assert short.startswith("http://purl.obolibrary.org/obo/")
    assert short.endswith("/MONDO_0005148")
    assert short.replace("<", "&lt;") in table


def test_of_many_workers_the_slowest_are_shown():
    run = RunState(START, now=100.0)
    for worker in range(1, 41):
        run.reported(f"tcp://w{worker}", worker, worker, now=101.0)
    workers = shown(lambda: run.figures(101.0)).select_one({"name": "workers"}).data["worker"]
    assert set(workers) == {f"tcp://w{worker}" for worker in range(1, MOST_WORKERS + 1)}
