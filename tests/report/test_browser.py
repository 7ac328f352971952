"""The report in a real headless browser, on a desk, on a phone and in print."""

import shutil

import pytest

pytestmark = pytest.mark.browser

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


def visit(browser, path, width):
    tab = browser.new_page(viewport={"width": width, "height": 844})
    heard = {"console": [], "requests": []}
    tab.on("console", lambda message: heard["console"].append(message.text))
    tab.on("pageerror", lambda error: heard["console"].append(str(error)))
    tab.on("dialog", lambda dialog: heard["console"].append(dialog.message))
    tab.on("request", lambda request: heard["requests"].append(request.url))
    tab.goto(path.as_uri())
    return tab, heard


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("which", ["report", "unfinished"])
def test_it_opens_quietly_and_fits(browser, request, which, width):
    path = request.getfixturevalue(which)
    tab, heard = visit(browser, path, width)
    assert heard["console"] == []
    assert heard["requests"] == [path.as_uri()]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.title() == "biomaterials: report"
    tab.close()


@pytest.mark.parametrize("width", [1200, 390])
def test_all_figures_are_seen(browser, report, width):
    tab, _ = visit(browser, report, width)
    boxes = tab.evaluate(
        "[...document.querySelectorAll('.picture svg')].map(s => [s.getBoundingClientRect().width, s.getBoundingClientRect().height])"
    )
    assert len(boxes) >= 15
    assert all(wide > 250 and high > 80 for wide, high in boxes)
    assert tab.evaluate("[...document.querySelectorAll('.picture')].every(p => (p.getAttribute('aria-label') || '').length > 20)")
    smallest = tab.evaluate(
        "Math.min(...[...document.querySelectorAll('.picture svg text')].map(t => parseFloat(getComputedStyle(t).fontSize) * Math.hypot(t.getScreenCTM().a, t.getScreenCTM().b)))"
    )
    assert smallest >= 7  # CSS pixels on the phone
    tab.close()


def test_wide_tables_scroll_inside_the_page_and_details_open(browser, report):
    tab, _ = visit(browser, report, 390)
    assert tab.evaluate("[...document.querySelectorAll('.scroll')].some(s => s.scrollWidth > s.clientWidth)")
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert tab.evaluate("[...document.querySelectorAll('.scroll, pre')].every(s => s.tabIndex === 0)")
    tab.close()


def test_it_prints(browser, report):
    tab, _ = visit(browser, report, 1200)
    printed = tab.pdf(format="A4", prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    assert len(printed) > 20_000
    tab.close()


@pytest.mark.parametrize("width", [1200, 390])
def test_long_answers_are_whole(browser, report, width):
    tab, _ = visit(browser, report, width)
    hidden = "[...document.querySelectorAll('.said')].filter(s => s.scrollHeight > s.clientHeight + 1 || s.scrollWidth > s.clientWidth + 1).length"
    assert tab.evaluate(hidden) == 0
    assert tab.evaluate("Math.max(...[...document.querySelectorAll('.reply')].map(r => r.clientHeight))") > 400
    tab.close()
