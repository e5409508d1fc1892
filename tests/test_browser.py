"Every page of the built site, opened in a headless Chromium: what a reader would stumble over, found first."

import functools
import http.server
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("smalldocs", reason="the site needs the extra `handbook`")

from site_fixture import real_site
from webdriver import Browser, find_browser

pytestmark = pytest.mark.timeout(600)
COST = 45  # seconds, about: long files start first

# What sticks out of a page 390 pixels wide: not in a box that scrolls, not hidden, seen by the reader
STICKS_OUT = """
const scrolls = (el) => { for (let p = el.parentElement; p && p.id !== 'quarto-content'; p = p.parentElement) {
  if (['auto', 'scroll'].includes(getComputedStyle(p).overflowX)) return true; } return false; };
return [...document.querySelectorAll('main, main *:not(svg *):not(math *)')].filter((el) => {
  const r = el.getBoundingClientRect();
  return r.width && r.height && r.right > window.innerWidth + 1 && !scrolls(el);
}).slice(0, 3).map((el) => el.outerHTML.slice(0, 160));
"""
NO_WORDS = """
return [...document.querySelectorAll('img, main svg, [role="img"]')].filter((el) => {
  if (el.closest('[aria-hidden="true"]') || el.tagName === 'I' || el.parentElement.closest('svg')) return false;
  const link = el.closest('a');
  return !(el.getAttribute('alt') || el.getAttribute('aria-label') || el.querySelector('title') || (link && link.textContent.trim()));
}).map((el) => el.outerHTML.slice(0, 120));
"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    "Serve files without a line for each."

    def log_message(self, *args: object) -> None:
        "Say nothing."


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    "Build the site, once for all test processes."
    return real_site(tmp_path_factory)


@contextmanager
def served(
    folder: Path,  # what to serve
) -> Iterator[str]:  # its address
    "Serve a folder on a free port."
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    "Serve the site."
    with served(site) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    "Start a browser, or say loudly that there is none."
    found = find_browser()
    if found is None:
        message = "NO CHROMIUM OR CHROME WITH ITS CHROMEDRIVER WAS FOUND: the pages were not opened in a browser (Debian: apt install chromium chromium-driver)"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    started = Browser(*found)
    yield started
    started.close()


def pages(
    site: Path,  # the built site
) -> list[str]:  # its pages, from the root
    "List the pages of the site."
    return sorted(p.relative_to(site).as_posix() for p in site.rglob("*.html"))


def trouble(
    browser: Browser,  # after a page was opened
    address: str,  # of the site
) -> list[str]:  # what went wrong
    "Read errors of the console, failed requests, and requests that left the site."
    console, network = browser.events()
    found = [f"console: {line}" for line in console]
    for event in network:
        params = event["params"]
        if event["method"] == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith((address, "data:", "blob:")):
                found.append(f"request outside the site: {url}")
        elif event["method"] == "Network.responseReceived" and params["response"]["status"] >= 400:
            found.append(f"{params['response']['status']}: {params['response']['url']}")
        elif event["method"] == "Network.loadingFailed" and not params.get("canceled"):
            found.append(f"failed: {params['errorText']} {params.get('type')}")
    return found


def test_every_page_opens_without_errors_and_fits_a_phone(browser, address, site):
    "Open every page wide and narrow: no console error, no failed or foreign request, words for every picture, nothing sticking out."
    found = []
    browser.resize(1280, 900)
    browser.events()
    for page in pages(site):
        browser.open(address + page)
        found += [f"{page}: {t}" for t in trouble(browser, address)]
        found += [f"{page}: picture without words: {t}" for t in browser.run(NO_WORDS)]
    browser.resize(390, 844)
    for page in pages(site):
        browser.open(address + page)
        width = browser.run("return document.documentElement.scrollWidth")
        if width > 390:
            found.append(f"{page}: {width} pixels wide on a phone of 390")
        found += [f"{page}: sticks out on a phone: {t}" for t in browser.run(STICKS_OUT)]
        found += [f"{page}: {t}" for t in trouble(browser, address)]
    assert not found, "\n".join(found)


def test_the_checks_see_what_they_look_for(browser, tmp_path):
    "Open a page with every fault: each is found."
    (tmp_path / "bad.html").write_text(
        '<!DOCTYPE html><link rel="icon" href="data:,"><meta name="viewport" content="width=device-width"><main id="quarto-content"><img src="gone.png">'
        '<img alt="far" src="http://localhost:9/x.png"><div style="width: 700px">wide</div><div style="overflow-x: auto"><p style="width: 900px">boxed</p></div>'
        '</main><script>throw new Error("oops")</script>'
    )
    browser.resize(390, 844)
    with served(tmp_path) as address:
        browser.events()
        browser.open(address + "bad.html")
        found = "\n".join(trouble(browser, address))
        for what in ("oops", "404: ", "request outside the site: http://localhost:9/x.png", "failed: "):
            assert what in found, found
        assert [html[:12] for html in browser.run(NO_WORDS)] == ["<img src=\"go"]
        stuck = browser.run(STICKS_OUT)
        assert any("wide" in html for html in stuck) and not any(html.startswith("<p") for html in stuck), stuck
        browser.open("about:blank")  # its faults must not reach the next test
        browser.events()


def test_search_finds_a_word(browser, address):
    "Type a word into the search box, see results, and follow the first."
    browser.resize(1280, 900)
    browser.open(address + "nbs/index.html")
    browser.run("const i = document.querySelector('#quarto-search input'); i.focus(); i.value = 'drawdown'; i.dispatchEvent(new Event('input', {bubbles: true}));")
    hits = browser.wait_for("return [...document.querySelectorAll('.search-result')].map((a) => a.href + ' ' + a.textContent)")
    assert any("drawdown" in h.lower() for h in hits)
    browser.run("document.querySelector('.search-result').click()")
    browser.wait_for("return location.pathname !== '/nbs/index.html' && document.readyState === 'complete'")
    assert not trouble(browser, address)


def test_dark_mode_toggles_and_is_remembered(browser, address):
    "Toggle the theme: the background changes, text stays legible, and the next page keeps the choice."
    colours = "const c = getComputedStyle(document.body); return [c.backgroundColor, c.color]"
    browser.resize(1280, 900)
    browser.open(address + "nbs/index.html")
    light = browser.run(colours)
    browser.run("document.querySelector('.quarto-color-scheme-toggle').click()")
    browser.wait_for(f"return document.documentElement.classList.contains('quarto-dark') && getComputedStyle(document.body).backgroundColor !== '{light[0]}'")
    dark = browser.run(colours)
    assert contrast(*light) > 7 and contrast(*dark) > 7
    browser.open(address + "nbs/status.html")
    assert browser.run(colours) == dark
    browser.run("document.querySelector('.quarto-color-scheme-toggle').click()")
    browser.wait_for("return !document.documentElement.classList.contains('quarto-dark')")
    assert browser.run(colours) == light


def contrast(
    first: str,  # a colour, as `rgb(r, g, b)`
    second: str,  # another
) -> float:  # their contrast ratio, 1 to 21 (WCAG)
    "Compute the contrast of two colours."

    def luminance(colour: str) -> float:
        channels = [int(c) / 255 for c in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_root_leads_home(browser, address):
    "Open the root: the reader lands on the home page, and a link to an equation or figure lands on it."
    browser.resize(1280, 900)
    browser.open(address)
    browser.wait_for("return location.pathname === '/nbs/index.html'")
    assert not trouble(browser, address)
