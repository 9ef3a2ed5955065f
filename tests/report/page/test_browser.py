"""A browser opens pages: tables are sorted and searched, the theme is toggled and remembered, nothing is cut off."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from browser import open_browser, severe_messages
from made_page import RUN, full_result, two_answers, with_label
from made_paths import triples_with
from made_results import made_groups, made_result
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tracin_dask import write_pages

ROWS = 40
HEADS = "#table-proponents tbody tr:not([hidden]) td[data-l=head]"
WIDER = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser():
    with open_browser() as driver:
        yield driver


@pytest.fixture
def opened(browser, tmp_path):
    """Open the page of 40 proponents."""
    triples = [(10 + (7 * n) % ROWS, n % 3, 2) for n in range(ROWS)]
    result = made_result(triples_with(triples, np.linspace(9, 1, ROWS)))
    browser.get(f"file://{write_pages(result, tmp_path)[0]}")
    return browser


def column(browser, selector=HEADS):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((cell) => cell.textContent)", selector
    )


def button(browser, name, table="table-proponents"):
    return next(one for one in browser.find_elements(By.CSS_SELECTOR, f"#{table} thead button") if one.text == name)


def framed(browser, place, width):
    """Open a page in a frame, which may be narrower than any window."""
    wrapper = place.path.parent / "wrapper.html"
    wrapper.write_text(f"<iframe src='{place.name}' style='width:{width}px;height:900px;border:0'></iframe>")
    browser.get(f"file://{wrapper}")
    browser.switch_to.frame(0)
    assert browser.execute_script("return innerWidth") == width


def test_tables_are_sorted_by_mouse_and_keyboard_and_say_so(opened):
    heads = lambda: [int(text.split(":")[-1]) for text in column(opened)]  # noqa: E731 - asked for again and again
    opened.find_element(By.ID, "table-proponents-more").click()
    assert len(heads()) == ROWS
    line = button(opened, "line")
    line.click()
    assert line.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    head = button(opened, "head")
    head.send_keys(Keys.ENTER)
    assert heads() == sorted(heads())
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    assert line.find_element(By.XPATH, "..").get_attribute("aria-sort") is None
    head.send_keys(Keys.SPACE)
    assert heads() == sorted(heads(), reverse=True)
    button(opened, "influence").click()
    amounts = opened.execute_script(
        "return [...document.querySelectorAll('#table-proponents .amount[data-v]')].map((cell) => +cell.dataset.v)"
    )
    assert amounts == sorted(amounts, reverse=True)


def test_rows_are_found_by_words_and_the_first_ones_are_shown_without(opened):
    assert len(column(opened)) == 15
    search = opened.find_element(By.ID, "search")
    search.send_keys("chebi:1 PREDICATE:0")
    found = opened.find_element(By.ID, "found").text
    assert found.endswith("rows")
    assert 0 < len(column(opened)) < ROWS
    assert all(relation.endswith("0") for relation in column(opened, HEADS.replace("head]", "relation]")))
    search.send_keys(" nowhere")
    assert column(opened) == []
    search.clear()
    search.send_keys(Keys.SPACE)
    assert len(column(opened)) == 15


def test_the_theme_is_toggled_and_remembered(opened):
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = opened.execute_script(paper)
    toggle = opened.find_element(By.CSS_SELECTOR, ".theme")
    assert toggle.text == "Dark theme"
    toggle.click()
    dark = opened.execute_script(paper)
    assert dark != light

    def remembers(driver):
        driver.refresh()
        if driver.execute_script(paper) == dark:
            return True
        driver.find_element(By.CSS_SELECTOR, ".theme").click()  # the page was left before Chromium stored the theme
        return False

    assert WebDriverWait(opened, 20).until(remembers)
    toggle = opened.find_element(By.CSS_SELECTOR, ".theme")
    assert toggle.text == "Light theme"
    toggle.click()
    assert opened.execute_script(paper) == light
    assert not severe_messages(opened)


def test_pages_are_no_wider_than_a_phone_and_run_no_script_of_a_label(browser, tmp_path):
    attack = "_<img src=x onerror=document.title=1>" + "long" * 20
    for place in write_pages(with_label(full_result(), attack), tmp_path):
        framed(browser, place, 360)
        assert browser.execute_script(WIDER) <= 0
        assert browser.title != "1"
    assert not severe_messages(browser)


@pytest.mark.parametrize("width", [720, 1000, 1280])
def test_sums_of_long_numbers_are_shown_whole(browser, tmp_path, width):
    triples = [(0, 0, 2), (0, 1, 2), (0, 0, 2), (0, 1, 2)]
    groups = made_groups("relation", np.array([[0.07864], [-0.01991]]), np.array([0, 1]), ["treats", "binds"])
    groups = replace(groups, num_triples=np.array([18_602_340, 9_301_170]))
    result = made_result(triples_with(triples, [0.07864, -0.02730, -0.01991, 0.02224]), groups=(groups,))
    framed(browser, write_pages(result, tmp_path)[0], width)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.chart')].map((box) => [box.scrollWidth, box.clientWidth])"
    )
    assert len(boxes) == 3
    assert all(inner <= outer for inner, outer in boxes), boxes


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.265), (-0.02658, 0.02992), (0.100002, 0.1000799), (-3e5, 2e5)])
def test_numbers_at_the_axes_of_a_histogram_are_whole(browser, tmp_path, low, high):
    triples = [(0, 0, 2)] * 30
    browser.get(f"file://{write_pages(made_result(triples_with(triples, np.linspace(low, high, 30))), tmp_path)[0]}")
    sides = browser.execute_script(
        "return [...document.querySelectorAll('.histogram text')].map((text) => text.getBBox())"
        ".map((box) => [box.x, box.x + box.width])"
    )
    assert len(sides) > 5
    assert min(left for left, _ in sides) >= 0
    assert max(right for _, right in sides) <= 720


def test_a_drawing_on_a_phone_begins_where_its_arrows_are_and_says_how_to_read_them(browser, tmp_path):
    around_tail = [(10 + number, 0, 2) for number in range(12)]
    result = made_result(triples_with(around_tail, np.linspace(9, 1, 12)))
    framed(browser, write_pages(result, tmp_path)[0], 390)
    right = browser.execute_script("return document.querySelector('.drawing').parentElement.clientWidth")
    middles = browser.execute_script(
        "const left = document.querySelector('.drawing').parentElement.getBoundingClientRect().left;"
        "return [...document.querySelectorAll('.mark rect')].map((mark) => mark.getBoundingClientRect())"
        ".map((mark) => mark.left + mark.width / 2 - left)"
    )
    assert len(middles) == 12
    assert all(0 < middle < right for middle in middles)
    said = browser.find_element(By.CSS_SELECTOR, "#drawing p").text
    assert "look its place up in the tables below, or point at it with a mouse" in said


def test_paper_has_how_the_numbers_were_made_and_no_raw_metadata(browser, tmp_path):
    pages = []
    for number, lines in enumerate((1, 3000)):
        result = two_answers(run=RUN | {"statistics": {f"line {line}": line for line in range(lines)}})
        browser.get(f"file://{write_pages(result, tmp_path / str(number))[0]}")
        pages.append(base64.b64decode(browser.print_page()).count(b"/Type /Page\n"))
    assert 0 < pages[0] == pages[1]
    opened = browser.execute_script("return [...document.querySelectorAll('details')].map((one) => one.open)")
    assert opened == [True] * (len(opened) - 1) + [False]
