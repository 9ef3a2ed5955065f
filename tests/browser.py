"""A browser without a window, for pages that have scripts."""

from collections.abc import Iterator
from contextlib import contextmanager

from needs import need
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

FLAGS = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking"


@contextmanager
def open_browser(size: str = "1400,1250") -> Iterator[webdriver.Chrome]:
    """Start Chromium with a window of this width and height, where it is installed; else skip the test."""
    need("chromium", "chromedriver")
    options = Options()
    for flag in [*FLAGS.split(), f"--window-size={size}"]:
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    with webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver")) as driver:
        yield driver


def severe_messages(driver: webdriver.Chrome) -> list[str]:
    """Give the errors that the browser met, except for a missing icon."""
    errors = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in errors if "favicon" not in message]
