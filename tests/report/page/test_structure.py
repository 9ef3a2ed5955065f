"""Pages are well-formed, need no network, run no foreign script, and can be read by a screen reader."""

import base64
import hashlib
import re

import pytest
from made_page import full_result, read, with_label

from tracin_dask import write_pages

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></svg><script>alert(1)</script>",
    "</script><!--",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    return write_pages(full_result(), tmp_path_factory.mktemp("pages"))


def test_pages_have_every_element_closed_and_no_id_twice(pages):
    for place in pages:
        page = read(place)
        assert len(page.ids) == len(set(page.ids))


def test_pages_load_nothing(pages):
    for place in pages:
        page = read(place)
        names = {place.name for place in pages}
        addresses = [value for _, one in page.seen for key, value in one.items() if key in ("src", "href", "action")]
        assert {address for address in addresses if not address.startswith("#")} <= names | {"data:,"}
        assert set(re.findall(r"url\(([^)]*)\)", page.text)) <= {"#tip-p", "#tip-o", "#tip-t"}
        assert "@import" not in page.text
        assert not re.search(r"""["'(=]\s*(https?:)?//""", page.text)


def test_a_label_stands_apart_from_its_name(tmp_path):
    found = [re.findall(r'.<span class="label">', read(place).text) for place in write_pages(full_result(), tmp_path)]
    assert all(found)
    assert {mark for marks in found for mark in marks} == {' <span class="label">'}


def test_links_inside_a_page_lead_to_its_parts(pages):
    for place in pages:
        page = read(place)
        inside = [one["href"][1:] for one in page.all("a") if one["href"].startswith("#")]
        assert inside
        assert set(inside) <= set(page.ids)


def test_a_browser_runs_only_the_script_of_the_page(pages):
    page = read(pages[0])
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}'" in policy
    assert not [one for _, one in page.seen for key in one if key.startswith("on")]


def test_pages_have_landmarks_and_tables_have_captions_and_scopes(pages):
    for place in pages:
        page = read(place)
        tags = [tag for tag, _ in page.seen]
        assert (tags.count("main"), tags.count("h1"), tags.count("header"), tags.count("footer")) == (1, 1, 1, 1)
        assert page.all("html") == [{"lang": "en"}]
        assert tags.count("caption") == tags.count("table") > 0
        assert all("scope" in one for one in page.all("th"))
        assert page.all("a")[0] == {"class": "skip", "href": "#main"}


def test_drawings_have_a_title_and_a_description(pages):
    page = read(pages[0])
    pictures = [one for one in page.all("svg") if one.get("aria-hidden") != "true"]
    assert len(pictures) == 2
    for picture in pictures:
        assert picture["role"] == "img"
        assert set(picture["aria-labelledby"].split()) <= set(page.ids)


def test_names_of_parts_that_are_labelled_exist(pages):
    for place in pages:
        page = read(place)
        named = {
            word
            for _, one in page.seen
            for key in ("aria-labelledby", "aria-controls", "for")
            for word in one.get(key, "").split()
        }
        assert named <= set(page.ids)


@pytest.mark.parametrize("text", ["".join(ATTACKS), ATTACKS[1]], ids=["all", "attribute"])
def test_labels_and_names_from_files_are_text(tmp_path, text):
    plain = [read(place) for place in write_pages(full_result(), tmp_path / "plain")]
    attacked = [read(place) for place in write_pages(with_label(full_result(), text), tmp_path / "attacked")]
    allowed = {"span", "wbr", "text"}
    for before, after in zip(plain, attacked, strict=True):
        kinds = [{(tag, *one) for tag, one in page.seen if tag not in allowed} for page in (before, after)]
        assert kinds[0] == kinds[1]
        assert len(after.all("script")) == 1
        assert not after.all("img")
    shown = attacked[0].shown
    assert "".join(f"EN:0{text}".split()) in "".join(shown.split())


def test_control_characters_of_names_are_written_as_escapes(tmp_path):
    page = read(write_pages(with_label(full_result(), "a\u202eb\x1b"), tmp_path)[0])
    assert "\u202e" not in page.text
    assert "a\\u202eb\\x1b" in page.shown


def test_text_that_is_no_unicode_is_written(tmp_path):
    result = full_result()
    result = type(result)(
        **{name: getattr(result, name) for name in type(result).__slots__} | {"kept": {"a\udcff": (1, 2)}}
    )
    assert "a\\udcff 1" in read(write_pages(result, tmp_path)[0]).shown
