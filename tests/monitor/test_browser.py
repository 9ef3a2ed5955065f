"""A browser opens the dashboard of a running run and sees its figures change."""

import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from needs import need
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.expected_conditions import title_is
from selenium.webdriver.support.ui import WebDriverWait

LONG_JOB = ["--batch-size", "1", "--top-k", "20"]
"""Options of a run that takes long enough to be watched."""
WIDTH = 1_000
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking "
    f"--window-size={WIDTH},1250"
)
FIGURES = """
const found = {};
for (const model of Bokeh.documents[0]._all_models.values()) {
    if (model.name === "headline") found.headline = model.text;
    if (["workers", "best", "speed"].includes(model.name)) {
        for (const [name, values] of Object.entries(model.data)) found[model.name + "." + name] = Array.from(values);
    }
}
return found;
"""


@pytest.fixture
def browser():
    need("chromium", "chromedriver")
    options = Options()
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    with webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver")) as driver:
        yield driver


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


def figures(browser, *, until, seconds=60):
    """Poll the page until its figures satisfy the condition."""
    deadline = time.monotonic() + seconds
    while True:
        found = browser.execute_script(FIGURES)
        if found and until(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def triples_done(found):
    number = re.search(r"<b>([\d,]+)</b> of 60,000 training triples", found.get("headline", ""))
    return int(number[1].replace(",", "")) if number else 0


def test_dashboard_pages_and_metrics_show_a_running_run(browser, dashboard, tmp_path):
    shots = Path(os.environ.get("TRACIN_DASK_SCREENSHOTS", tmp_path))
    for page, title in (("status", "Dask: Status"), ("tracin", "Dask: TracIn")):
        browser.get(f"{dashboard}/{page}")
        WebDriverWait(browser, 30).until(title_is(title))
    first = figures(browser, until=lambda found: triples_done(found) > 0 and found["best.tail"])
    figures(browser, until=lambda found: triples_done(found) > triples_done(first))
    later = figures(browser, until=lambda found: len(found["workers.worker"]) > 1 and len(found["speed.rate"]) > 1)
    assert re.search(r"triples/s.*</b> left", later["headline"])
    assert len(later["workers.worker"]) == 2
    assert min(later["workers.rate"]) > 0
    assert len(later["speed.rate"]) > 1
    assert {len(later[f"best.{name}"]) for name in ("test", "rank", "influence", "head", "relation", "tail")} == {20}
    time.sleep(8)
    browser.save_screenshot(str(shots / "dashboard.png"))
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [message for message in errors if "favicon" not in message]
    with urllib.request.urlopen(f"{dashboard}/metrics") as answer:  # noqa: S310 - the run's own address
        metrics = answer.read().decode()
    assert "tracin_run_triples 60000.0" in metrics
    assert re.search(r"tracin_run_triples_done [1-9]", metrics)
