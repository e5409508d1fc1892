"""Every exported function and class is documented on its chapter's page: where links expect it, with its parameters."""

import importlib
import inspect
import re

import pytest

pytest.importorskip("smalldocs", reason="the site needs the extra `handbook`")

from bs4 import BeautifulSoup
from site_fixture import real_site
from symbols import public_symbols

COST = 30  # seconds, about: it may be the one to build the site
PLACES = public_symbols()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    "Build the site, or take the one that another worker has built; give its parsed pages by address."
    site = real_site(tmp_path_factory)
    return {p: BeautifulSoup((site / p).read_text(encoding="utf-8"), "lxml") for p in {v.partition("#")[0] for v in PLACES.values()}}


@pytest.mark.parametrize(("module", "name"), PLACES, ids=lambda n: n.removeprefix("portfolio_ml."))
def test_symbol_is_documented(pages, module, name):
    "The page has the symbol's anchor, and the entry there names its docstring and every parameter."
    address, _, anchor = PLACES[module, name].partition("#")
    entry = pages[address].find(id=anchor)
    assert entry is not None, f"{address} has no entry #{anchor}"
    text, thing = entry.get_text(" ", strip=True), getattr(importlib.import_module(module), name)
    if inspect.isfunction(thing):
        lacking = set(inspect.signature(thing).parameters) - set(re.findall(r"\w+", text))
        assert not lacking, f"the entry of {name} does not show {lacking}"
    words = [w for w in inspect.getdoc(thing).split("\n")[0].split() if w.isalpha()]
    assert all(w in text for w in words[:3]), f"the entry of {name} does not show its docstring"
