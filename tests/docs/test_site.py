"""The documentation as a site: it builds without a warning, has all commands and public names, and needs no network."""

import re
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest
from browser import open_browser, severe_messages
from help_texts import all_commands
from needs import need_packages
from pages import PAGES, ROOT
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

import tracin_dask

BUILD = [sys.executable, "-m", "mkdocs", "build", "--strict"]  # with --quiet, warnings would not count


class Loaded(HTMLParser):
    """What a page makes the browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag in {"script", "img", "iframe", "source", "video"} and found.get("src"):
            self.addresses.append(str(found["src"]))
        if tag == "link" and found.get("rel") != "canonical":
            self.addresses.append(str(found["href"]))


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [*BUILD, "--config-file", config, "--site-dir", site]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a warning is an error."""
    need_packages("mkdocs", "material", "mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def page_of(site: Path, name: str) -> str:
    return (site / name / "index.html").read_text(encoding="utf-8")


def test_every_page_is_in_the_site(site):
    names = {page.stem for page in PAGES if page.name != "README.md"} | {"tasks", "changelog", "notebook"}
    assert {name for name in names if not (site / name / "index.html").exists()} == set()


@pytest.mark.parametrize(("name", "command"), [pytest.param(*found, id=found[0]) for found in all_commands()])
def test_the_reference_has_every_option_of_a_command(name, command, site):
    text = page_of(site, f"reference/{name.split()[1]}")
    prefix = "-".join(name.split()[2:])
    parameters = command.get_params(click.Context(command))  # --help, too
    options = [option for option in parameters if isinstance(option, click.Option) and not option.hidden]
    assert options
    assert [option.opts for option in options if f'id="{prefix}{max(option.opts, key=len)}"' not in text] == []


def test_the_reference_has_every_public_name_and_protocol(site):
    anchors = set(re.findall(r'<h3 id="tracin_dask\.([\w.]+)"', page_of(site, "reference/python")))
    assert anchors == set(tracin_dask.__all__) - {"__version__"}
    text = page_of(site, "reference/protocols")
    names = ("losses.base.Loss", "preconditioners.base.Preconditioner", "reductions.base.Reduction", "masks.base.Mask")
    others = ("report.format.Format", "clusters.cluster.Cluster", "places.place.Place", "models.conve.dialects.Dialect")
    expected = [*(f"tracin_dask.influence.{name}" for name in names), *(f"tracin_dask.{name}" for name in others)]
    assert [name for name in expected if f'id="{name}"' not in text] == []


def test_the_site_loads_nothing_from_the_network(site):
    for path in site.rglob("*.html"):
        loaded = Loaded()
        loaded.feed(path.read_text(encoding="utf-8"))
        assert loaded.addresses
        assert [address for address in loaded.addresses if re.match(r"(https?:)?//", address)] == [], path
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("link", ["missing.md", "influence.md#missing"])
def test_a_broken_link_fails_the_build(tmp_path, link):
    need_packages("mkdocs", "material", "mkdocstrings")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"[words]({link})\n")
    (tmp_path / "docs" / "influence.md").write_text("# Influence\n")
    text = (ROOT / "mkdocs.yml").read_text()
    settings = "".join(re.findall(r"^(?:site_name|strict|validation):.*\n(?:  .*\n)*", text, flags=re.MULTILINE))
    (tmp_path / "mkdocs.yml").write_text(settings)
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert "missing" in done.stdout + done.stderr


def test_the_search_finds_an_option_in_a_browser(site):
    handler = partial(SimpleHTTPRequestHandler, directory=site)
    handler.log_message = lambda *_: None
    found = (By.CSS_SELECTOR, ".md-search-result__item a")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, open_browser() as driver:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        driver.get(f"{address}?q=within-hops")
        links = [
            link.get_attribute("href")
            for link in WebDriverWait(driver, 60).until(lambda _: driver.find_elements(*found))
        ]
        assert any("/ranking/" in str(link) for link in links)
        loaded = driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [name for name in loaded if not name.startswith((address, "data:", "blob:"))] == []
        assert severe_messages(driver) == []
        server.shutdown()
