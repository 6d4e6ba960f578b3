"""The page and its plots: self-contained, escaped, legible on both grounds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb

from processors.study import page, plots
from processors.study.analysis import Report, study
from processors.study.ledger import Ledger
from tests.support.study_sessions import Sessions, session

PNG = b"\x89PNG\r\n\x1a\n"


def make(folder: Path, count: int) -> Report:
    return study(Sessions([session(n) for n in range(count)]), Ledger(folder / "l"), "<b>&", {}, "2026-01-01")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return make(tmp_path_factory.mktemp("page"), 4)


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return page.render(report)


def test_the_page_loads_nothing_from_anywhere(text: str) -> None:
    addresses = re.findall(r'(?:src|srcset|href)="([^"]{0,30})', text)
    assert addresses
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    assert "<script" not in text
    assert "@import" not in text


def test_the_verdict_is_the_first_thing_on_the_page(report: Report, text: str) -> None:
    body = text.split("<body>")[1]
    assert body.strip().startswith('<p class="verdict">This report claims nothing')


def test_what_the_report_holds_is_escaped(text: str) -> None:
    assert "&lt;b&gt;&amp;" in text
    assert "<b>&" not in text


def test_every_element_that_opens_closes(text: str) -> None:
    class Open(HTMLParser):
        stack: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "img", "source"):
                self.stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.stack.pop() == tag

    parser = Open()
    parser.feed(text)
    assert parser.stack == []


def test_every_plot_is_there_for_light_and_for_dark_with_words_beside_it(text: str) -> None:
    assert text.count('media="(prefers-color-scheme: dark)"') == len(page.CAPTIONS)
    assert all(f"<figcaption>{caption}" in text for caption in page.CAPTIONS.values())


def test_plots_are_png_files(report: Report) -> None:
    made = plots.draw(report, plots.LIGHT)
    assert set(made) == set(page.CAPTIONS)
    assert all(png.startswith(PNG) for png in made.values())


def test_a_report_of_nothing_can_still_be_drawn(tmp_path: Path) -> None:
    assert all(png.startswith(PNG) for png in plots.draw(make(tmp_path, 0), plots.DARK).values())


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("ground", [plots.LIGHT, plots.DARK], ids=["light", "dark"])
def test_text_and_colours_stand_out_from_their_ground(ground: plots.Ground) -> None:
    def contrast(colour: str) -> float:
        low, high = sorted((luminance(colour), luminance(ground.back)))
        return (high + 0.05) / (low + 0.05)

    assert contrast(ground.text) >= 7
    assert all(contrast(colour) >= 3 for colour in (ground.breaks, ground.rejects, ground.other, ground.extra))
