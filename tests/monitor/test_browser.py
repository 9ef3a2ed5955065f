"""A browser opens the dashboard of a running run and sees its figures change."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from browser import open_browser, severe_messages
from distributed import LocalCluster
from selenium.webdriver.support.expected_conditions import title_is
from selenium.webdriver.support.ui import WebDriverWait

from tracin_dask.clusters.started import started
from tracin_dask.monitor.events import FINISHED, LISTS_TOPIC, TOPIC
from tracin_dask.patience import Patience

LONG_JOB = ["--batch-size", "2", "--top-k", "20"]
"""Options of a run that takes longer than the test; the test stops it."""
WIDTH = 1_000
LONG = f"http://purl.obolibrary.org/obo/{'x' * 160}/MONDO_0005148"
SEEN = """
const all = (root, css) => {
    const found = [...root.querySelectorAll(css)];
    for (const one of root.querySelectorAll("*")) if (one.shadowRoot) found.push(...all(one.shadowRoot, css));
    return found;
};
const [choice] = all(document, "select");
if (arguments.length) {
    choice.selectedIndex = arguments[0];
    choice.dispatchEvent(new Event("change"));
}
const found = {
    text: all(document, "h2, h3, p, pre").map((one) => one.innerText).join(" | "),
    rows: all(document, "tbody tr").map((row) => [...row.cells].map((cell) => cell.innerText)),
    broken: all(document, "td.rank, td.influence").filter((cell) => {
        const range = document.createRange();
        range.selectNodeContents(cell);
        const lines = range.getClientRects();
        return lines.length !== 1 || lines[0].left < cell.getBoundingClientRect().left;
    }).map((cell) => cell.innerText),
    tooltips: all(document, "td[title]").map((cell) => cell.title),
    progress: all(document, "progress").map((bar) => bar.value / bar.max),
    choices: choice ? [...choice.options].map((one) => one.innerText) : [],
    width: document.documentElement.scrollWidth,
    covered: document.querySelector(".navbar").getBoundingClientRect().bottom
        - Math.min(...all(document, "h2").map((one) => one.getBoundingClientRect().top)),
    right: Math.max(...all(document, "table, h2, p, progress").map((one) => one.getBoundingClientRect().right)),
};
for (const model of window.Bokeh?.documents[0]?._all_models.values() ?? []) {
    if (["workers", "speed"].includes(model.name)) {
        for (const [name, values] of Object.entries(model.data)) found[model.name + "." + name] = Array.from(values);
    }
}
return found;
"""
"""What a reader sees: the text that the browser has drawn, and the numbers of the charts."""


@pytest.fixture(scope="module")
def chromium():
    with open_browser(f"{WIDTH},1250") as driver:
        yield driver


@pytest.fixture
def browser(chromium):
    """Leave the page of another test, and forget what it said: its dashboard is gone."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    return chromium


@pytest.fixture
def dashboard(made_graph, tmp_path):
    """Start a long run and give the address of its dashboard."""
    spec = tmp_path / "local.yaml"
    spec.write_text("kind: local\nworkers: 2\nthreads_per_worker: 1\ndashboard_address: 127.0.0.1:0\n")
    files = [
        "--model-path",
        made_graph / "model.pt",
        "--train",
        made_graph / "train.txt",
        "--test",
        made_graph / "test.txt",
    ]
    maps = ["--entity-to-id", made_graph / "node_dict.txt", "--relation-to-id", made_graph / "rel_dict.txt"]
    maps += ["--cache-dir", tmp_path / "cache"]
    words = ["run", *files, *maps, *LONG_JOB, "--output-dir", tmp_path / "why", "--cluster", spec]
    command = [sys.executable, "-m", "tracin_dask", *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        for line in process.stderr:
            found = re.search(r"this run: (http://\S+)/tracin", line)
            if found:
                break
        assert found, "the run ended without a dashboard"
        yield found[1]
        process.terminate()
        process.stderr.read()


@pytest.fixture
def scheduler():
    """Start a scheduler that has the page before any run; the test plays the run."""
    options = {"n_workers": 0, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    options["scheduler_kwargs"] = {"preload": ["tracin_dask.monitor.plugin"]}
    with started(LocalCluster, options, title="a scheduler", patience=Patience()) as (_, client):
        yield client


def seen(browser, *choice, until=lambda _: True, seconds=150):
    """Look at the page until what is seen satisfies the condition; a test triple may be chosen first."""
    deadline = time.monotonic() + seconds
    found = browser.execute_script(SEEN, *choice)
    while not until(found):
        assert time.monotonic() < deadline, found
        time.sleep(0.25)
        found = browser.execute_script(SEEN)
    return found


def triples_done(found):
    number = re.search(r"([\d,]+) of 60,000 training triples", found["text"])
    return int(number[1].replace(",", "")) if number else 0


def open_page(browser, dashboard, page, title):
    browser.get(f"{dashboard}/{page}")
    WebDriverWait(browser, 30).until(title_is(title))


def no_errors(browser):
    return not severe_messages(browser)


def fits(found):
    """Tell whether nothing has to be scrolled to the side, or is under the menu, and no number is broken."""
    return found["width"] <= WIDTH and found["right"] <= WIDTH and found["covered"] <= 0 and not found["broken"]


def save_shot(browser, tmp_path, name):
    browser.save_screenshot(str(Path(os.environ.get("TRACIN_DASK_SCREENSHOTS", tmp_path)) / name))


def test_dashboard_pages_and_metrics_show_a_running_run(browser, dashboard, tmp_path):
    open_page(browser, dashboard, "status", "Dask: Status")
    open_page(browser, dashboard, "tracin", "Dask: TracIn")
    first = seen(browser, until=lambda found: triples_done(found) > 0 and len(found["rows"]) == 20)
    seen(browser, until=lambda found: triples_done(found) > triples_done(first))
    later = seen(browser, until=lambda found: len(found["workers.worker"]) > 1 and len(found["speed.rate"]) > 1)
    assert re.search(r"triples/s.* left", later["text"])
    assert 0 < later["progress"][0] < 1
    assert len(later["workers.worker"]) == 2
    assert min(later["workers.rate"]) > 0
    assert len(later["choices"]) == 100
    assert "The first 100 of 300 test triples" in later["text"]
    other = seen(browser, 7, until=lambda found: later["choices"][7][3:] in found["text"])
    assert fits(other)
    save_shot(browser, tmp_path, "dashboard.png")
    assert no_errors(browser)
    with urllib.request.urlopen(f"{dashboard}/metrics") as answer:  # noqa: S310 - the run's own address
        metrics = answer.read().decode()
    assert "tracin_run_triples 60000.0" in metrics
    assert re.search(r"tracin_run_triples_done [1-9]", metrics)


def play(scheduler, round_of, rows):
    """Let a run tell of 20 triples of each of two test triples, as one of its rounds has them, and of some rows."""
    influences = [-1.17e-5 * rank for rank in range(20)]
    lists = [
        {"test": f"{LONG} · r · {test}", "triples": [(one, LONG, "r", f"{test}{round_of}") for one in influences]}
        for test in ("a", "b")
    ]
    told = {"event": "lists", "word": "test triple", "total": 2, "lists": lists}
    scheduler.log_event(LISTS_TOPIC, told | {"run": "b2"})
    scheduler.log_event(TOPIC, {"event": "rows", "run": "b2", "worker": "tcp://w1", "task": 0, "rows": rows})


def tails(found):
    return {row[-1] for row in found["rows"]}


def test_visible_cells_follow_a_run_to_its_end(browser, scheduler, tmp_path):
    open_page(browser, scheduler.dashboard_link.removesuffix("/status"), "tracin", "Dask: TracIn")
    before = seen(browser, until=lambda found: "No run yet" in found["text"])
    assert f"tracin-dask run ... --cluster {scheduler.scheduler.address}" in before["text"]
    start = {"event": "start", "run": "b2", "triples": 1_000, "tasks": 1, "resumed_triples": 0, "test_triples": 2}
    scheduler.log_event(TOPIC, start)
    play(scheduler, 1, rows=100)
    first = seen(browser, until=lambda found: tails(found) == {"a1"})
    assert (len(first["rows"]), first["progress"]) == (20, [0.1])
    assert LONG in first["tooltips"]
    assert fits(first)
    play(scheduler, 2, rows=100)
    seen(browser, until=lambda found: tails(found) == {"a2"})
    seen(browser, 1, until=lambda found: tails(found) == {"b2"})
    [page] = browser.window_handles
    browser.switch_to.new_window("tab")
    play(scheduler, 3, rows=800)
    scheduler.log_event(TOPIC, {"event": "end", "run": "b2", "outcome": FINISHED})
    browser.switch_to.window(page)
    last = seen(browser, until=lambda found: "finished" in found["text"])
    assert (tails(last), len(last["rows"]), last["progress"]) == ({"b3"}, 20, [1.0])
    assert "left" not in last["text"]
    assert "so far" not in last["text"]
    assert fits(last)
    save_shot(browser, tmp_path, "finished.png")
    assert no_errors(browser)
