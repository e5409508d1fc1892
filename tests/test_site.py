"The site builder: what it makes of a toy handbook, and everything that it refuses."

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("smalldocs", reason="the site needs the extra `handbook`")

from bs4 import BeautifulSoup
from site_fixture import ROOT, cell, display, real_site, write_handbook, write_notebook

from tools.site_builder.apidoc import docstring_sections, entries, read_module
from tools.site_builder.build import build, scratch_folder
from tools.site_builder.outputs import clean_svg, clean_table
from tools.site_builder.project import Problems, Project, SiteError

COST = 30  # seconds, about: long files start first


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    "Build the toy handbook once."
    return build(write_handbook(tmp_path_factory.mktemp("toy")))


def soup(
    site: Path,  # a built site
    page: str = "nbs/toy/alpha.html",  # one of its pages
) -> BeautifulSoup:
    "Parse a page."
    return BeautifulSoup((site / page).read_text(encoding="utf-8"), "lxml")


# ---------------------------------------------------------------- what it makes


def test_references_are_numbered_links(site):
    text = soup(site).find("section", id="sec-build").p
    links = {a["href"]: a.get_text() for a in text.select("a.quarto-xref")}
    assert links == {
        "#eq-mean": "Equation 1", "#fig-line": "Figure 1", "#tbl-weights": "Table 2", "#tbl-plain": "Table 1", "#thm-one": "Theorem 1", "#sec-build": "“Build”",
    }  # fmt: skip
    assert "It costs $5 and $6." in text.get_text()


def test_citations_are_formatted_and_listed(site):
    page = soup(site)
    assert "(Markowitz 1952, 77)" in page.get_text()
    assert [e["id"] for e in page.select(".csl-entry")] == ["ref-markowitz1952portfolio"]
    assert page.select_one(".csl-entry a")["href"] == "https://doi.org/10.1111/j.1540-6261.1952.tb01525.x"
    assert [e["id"] for e in soup(site, "nbs/references.html").select(".csl-entry")] == ["ref-markowitz1952portfolio", "ref-nobody2000"]


def test_maths_is_mathml_and_needs_no_script(site):
    page = soup(site)
    assert page.find(id="eq-mean").find("math")["display"] == "block"
    assert page.find(id="eq-mean").select_one(".equation-number").get_text() == "(1)"
    assert "$code$" in [c.get_text() for c in page.find_all("code")]
    assert "@fig-nothing" in page.get_text()
    assert not [s for s in page.find_all(["script", "link"]) if "katex" in str(s).lower()]


def test_figure_has_number_caption_words_and_its_own_ids(site):
    page = soup(site)
    svg = page.find(id="fig-line")
    assert (svg.name, svg["role"], svg["aria-label"]) == ("svg", "img", "A line that rises")
    assert svg.find("use")["xlink:href"] == "#fig-line-m1"
    assert "alt" not in svg.attrs and not svg.find("style")
    caption = svg.find_parent("figure").find("figcaption")
    assert caption.get_text().startswith("Figure 1: A line in ") and caption.find("math") and caption.find("code")


def test_table_has_number_caption_and_its_own_box(site):
    figure = soup(site).find(id="tbl-weights")
    assert figure.find("figcaption").get_text().startswith("Table 2: Weights")
    assert figure.select_one(".table-scroll")["tabindex"] == "0"
    table = figure.find("table")
    assert "border" not in table.attrs and not figure.find("style")
    assert [t.get_text() for t in table.select(".num")] == ["weight", "0.25", "-0.75"]
    plain = soup(site).find(id="tbl-plain")
    assert plain.find("figcaption").get_text().strip() == "Table 1: Plain numbers."


def test_symbols_are_documented_and_names_link_to_them(site):
    page = soup(site)
    api = page.find(id="total").select_one(".api")
    rows = [[td.get_text(" ", strip=True) for td in tr.find_all("td")] for tr in api.select("tbody tr")]
    assert rows == [
        ["weights", "list[float] or None", "(N,) shares of wealth, decimals"],
        ["power", "default 2", "to which they are raised"],
        ["Returns", "float", "their sum, decimals"],
    ]
    assert api.select_one("a.api-source")["href"].endswith("toy_ml/toy/alpha.py#L8")
    scale = page.find(id="scale")
    assert "The least weight." in scale.get_text() and "What comes out" in scale.get_text() and "Portfolio Selection, 1952" in scale.get_text()
    assert scale.find("details").summary.get_text() == "Parameters"
    assert page.find(id="scale.fit") and "Nobody sees this" not in page.get_text()
    assert page.find(id="total-section"), "a heading whose id a symbol needs gives way"
    home = soup(site, "nbs/index.html").select_one(".hero")
    assert [a["href"] for a in home.find_all("a")] == ["toy/alpha.html#sec-build", "toy/alpha.html#total", "toy/alpha.html#scale.fit"]


def test_title_cell_keeps_its_rest_and_theorems_their_name(site):
    page = soup(site)
    assert page.select_one(".callout-note").get_text(" ", strip=True) == "At a glance Still here."
    assert page.find(id="thm-one").get_text().strip() == "Theorem 1 (Two funds). Two suffice."
    assert "Markowitz (1952)" in page.select_one(".description").get_text()
    assert page.find("meta", attrs={"name": "description"})["content"] == "What it shows, by Markowitz (1952)."


def test_collapsed_solution_spans_cells(site):
    body = soup(site).select_one(".callout-tip .callout-collapse")
    assert "assert total([1.0]) == 1" in body.get_text()


def test_page_has_its_tools_provenance_and_neighbours(site):
    page = soup(site)
    assert page.select_one('.page-tools a[href="alpha.ipynb"]') and (site / "nbs/toy/alpha.ipynb").is_file()
    assert "Executed 2026-01-02, 1.5 s" in page.select_one(".provenance").get_text()
    assert page.select_one('a.toc-action[href="https://github.com/toy/toy_ml/edit/main/nbs/toy/alpha.ipynb"]')
    assert [a.get_text(strip=True) for a in page.select("a.pagination-link")] == ["Toy", "References"]


def test_status_and_numbers_are_filled_in(site):
    home = soup(site, "nbs/index.html")
    row = [td.get_text() for td in home.select(".status-table tbody td")]
    assert row == ["A chapter", "2026-01-02", "1.5 s", "14", "1", "1", "", "yes"]
    assert home.select_one(".kpi .n").get_text() == "1"


def test_copies_search_and_redirect(site):
    copy = (site / "nbs/toy/alpha.llms.md").read_text()
    assert "$\\sigma_p$" in copy and "Figure 1: A line in $x$" in copy and "<svg" not in copy
    assert "| 0 | A | 0.25 |" in copy and "<div" not in copy and "{#" not in copy and "```python\ntotal(weights, *, power=2)" in copy
    assert "- [A chapter](nbs/toy/alpha.llms.md): What it shows" in (site / "llms.txt").read_text()
    search = (site / "search.json").read_text()
    assert "σ p" in search and not re.search(r"zq[a-z]\d+qz", search)
    assert 'url=nbs/index.html"' in (site / "index.html").read_text()
    assert "googleapis" not in "".join(p.read_text() for p in site.rglob("*.css"))


def test_quarto_filter_reads_stdin_and_writes_stdout():
    source = json.dumps({"cells": [cell("# T\n\n> D.\n\nRest with `load_prices`.")], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    done = subprocess.run([sys.executable, ROOT / "tools/quarto_filter.py"], input=source, capture_output=True, text=True, check=True)
    cells = json.loads(done.stdout)["cells"]
    assert "title: T" in "".join(cells[0]["source"]) and "Rest with" in "".join(cells[1]["source"])
    assert "output-file" not in done.stdout


# ---------------------------------------------------------------- what it refuses

BROKEN = {
    "unknown reference": ("See @fig-missing.", "unknown reference @fig-missing"),
    "unknown citation": ("Says [@ghost1999].", "unknown citation @ghost1999"),
    "duplicate label": ("$$a$$ {#eq-twice}\n\n$$b$$ {#eq-twice}", "duplicate label eq-twice"),
    "broken link": ("[there](../nowhere.ipynb)", "broken link ../nowhere.html (there)"),
    "broken anchor": ("[there](../index.ipynb#nowhere)", "broken anchor ../index.html#nowhere (there)"),
    "broken anchor on the page": ("[here](#nowhere)", "broken anchor #nowhere (here)"),
    "picture without alt": ("![](https://example.com/x.png)", "picture without alt text"),
    "picture from elsewhere": ("![words](https://example.com/x.png)", "off-site img: https://example.com/x.png"),
    "script from elsewhere": ('<script src="https://cdn.jsdelivr.net/npm/x.js"></script>', "off-site script"),
    "address in a script": ('<script>import("https://unpkg.com/x")</script>', "off-site address in a script: unpkg.com"),
    "style from elsewhere": ("<style>@import url(https://fonts.googleapis.com/css);</style>", "off-site address in a stylesheet"),
    "missing picture": ("![words](gone.svg)", "missing img: gone.svg"),
    "unreadable maths": ("Say $\\notacommand{x}{$ so.", "pandoc cannot read this formula"),
    "mermaid": ("```mermaid\ngraph TD\n```", "mermaid needs the network"),
    "unclosed markup": ("a\n\n::: {.note}\nb\n:::\n\n:::", "unread markup: :::"),
    "duplicate id": ('<p id="same"></p><p id="same"></p>', "duplicate id same"),
}
BROKEN_CELLS = {
    "figure without alt text": (cell('#| label: fig-a\n#| fig-cap: "A"\nplot()', [display(svg="<svg></svg>")]), "figure fig-a lacks fig-alt"),
    "figure without caption": (cell('#| label: fig-b\n#| fig-alt: "B"\nplot()', [display(png="AAAA")]), "figure fig-b lacks fig-cap"),
    "figure without label": (cell("#| echo: true\nplot()", [display(svg="<svg></svg>")]), "figure (no label) lacks label: fig-…, fig-cap, fig-alt"),
    "table without table": (cell('#| label: tbl-c\n#| tbl-cap: "C"\n1', [display(markdown="x")]), "tbl-c holds no HTML table"),
    "stored error": (cell("#| echo: true\n1/0", [{"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero", "traceback": []}]), "stored error output: ZeroDivisionError"),
    "symbol that was not exported": (cell("#| export\ndef forgotten():\n    pass"), "forgotten is not in the exported module toy.alpha: run nbdev_export"),
}  # fmt: skip


@pytest.fixture(scope="module")
def complaints(tmp_path_factory) -> str:
    "Build the toy handbook with everything wrong at once, and a site of yesterday in place."
    extra = [cell(text) for text, _ in BROKEN.values()] + [c for c, _ in BROKEN_CELLS.values()]
    root = write_handbook(tmp_path_factory.mktemp("broken"), extra)
    write_notebook(root / "nbs/lost.ipynb", [cell("# Lost")])
    config = (root / "_quarto.yml").read_text().replace("- nbs/index.ipynb\n    - section", "- nbs/index.ipynb\n    - nbs/unwritten.ipynb\n    - section")
    (root / "_quarto.yml").write_text(config)
    (root / "_site").mkdir()
    (root / "_site/index.html").write_text("yesterday")
    with pytest.raises(SiteError) as caught:
        build(root)
    assert (root / "_site/index.html").read_text() == "yesterday", "a failed build leaves the old site"
    assert not list((root / "_build").iterdir()), "and nothing else"
    return str(caught.value)


@pytest.mark.parametrize("what", [*BROKEN, *BROKEN_CELLS])
def test_builder_refuses(complaints, what):
    message = {**BROKEN, **BROKEN_CELLS}[what][1]
    assert any(message in line and "nbs/toy/alpha" in line for line in complaints.splitlines()), complaints


def test_builder_refuses_pages_outside_the_sidebar_and_the_reverse(complaints):
    assert "nbs/lost.ipynb is not in the sidebar" in complaints
    assert "the sidebar names nbs/unwritten.ipynb, which is not there" in complaints


def test_a_notebook_that_is_no_notebook_is_named(tmp_path):
    root = write_handbook(tmp_path)
    (root / "nbs/toy/alpha.ipynb").write_text('{"cells": [')
    with pytest.raises(SiteError, match=r"nbs/toy/alpha.ipynb: JSONDecodeError"):
        build(root)


def test_partial_build_leaves_out_what_is_not_written(tmp_path):
    root = write_handbook(tmp_path)
    (root / "nbs/toy/alpha.ipynb").unlink()
    (root / "nbs/index.ipynb").unlink()
    write_notebook(root / "nbs/index.ipynb", [cell("# Toy\n\n[Soon](toy/alpha.ipynb).")])
    assert (build(root, partial=True) / "nbs/index.html").is_file()
    with pytest.raises(SiteError, match=r"names nbs/toy/alpha.ipynb"):
        build(root)


# ---------------------------------------------------------------- the swap


def test_a_killed_build_is_cleaned_up_and_its_old_site_comes_back(tmp_path):
    target = tmp_path / "_site"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f"_build/site-{dead.pid}"
    (left / "previous").mkdir(parents=True)
    (left / "previous/index.html").write_text("yesterday")
    (tmp_path / f"_build/site-{os.getppid()}").mkdir()
    scratch = scratch_folder(target)
    assert (target / "index.html").read_text() == "yesterday"
    assert not left.exists() and scratch.is_dir()
    assert (tmp_path / f"_build/site-{os.getppid()}").is_dir(), "a build that is running keeps its folder"


# ---------------------------------------------------------------- the parts


def test_docstring_sections_and_entries():
    import ast

    node = ast.parse('def f():\n    """One.\n\n    Two.\n\n    Raises\n    ------\n    ValueError\n        When wrong,\n        twice.\n    """').body[0]
    sections = docstring_sections(node)
    assert sections["Summary"] == "One.\n\nTwo."
    assert entries(sections["Raises"]) == [("ValueError", "", "When wrong, twice.")]


def test_what_is_said_of_several_fields_is_said_of_each():
    from tools.site_builder.apidoc import Parameter, merged

    rows = merged([Parameter("first"), Parameter("second", "int"), Parameter("third")], "first, second : float\n    Both of them.\nthird : str\n    Alone.")
    assert [(p.kind, p.text) for p in rows] == [("float", "Both of them."), ("int", "Both of them."), ("str", "Alone.")]


def test_docments_are_found_on_the_line_and_above(tmp_path):
    from tools.site_builder.apidoc import document, function_parameters

    path = tmp_path / "pkg/m.py"
    path.parent.mkdir()
    path.write_text('def f(\n    a,  # first\n    # about b,\n    # in two lines\n    b: int = 1,\n    *args,  # the rest\n    c="x, y",\n):  # what comes back\n    "Do it."\n')
    module = read_module(path, 0)
    rows = function_parameters(module.definitions["f"], module)
    assert [(p.name, p.text) for p in rows] == [("a", "first"), ("b", "about b, in two lines"), ("*args", "the rest"), ("c", "")]
    (tmp_path / "settings.ini").write_text("[DEFAULT]\nlib_path = pkg\ngit_url = u\nbranch = b\n")
    text = document(Project(tmp_path), "f", module)
    assert "f(a, b=1, *args, c='x, y')" in text and "| **Returns** |  | what comes back |" in text


def test_clean_svg_keeps_only_the_ids_it_needs():
    out = clean_svg('<svg width="10pt" viewBox="0 0 1 1"><g id="a"/><path id="p" /><g clip-path="url(#p)"/></svg>', "fig-x", 'say "hi"')
    assert out.count("id=") == 2 and 'url(#fig-x-p)' in out and 'aria-label="say &quot;hi&quot;"' in out and "width:13px" in out


def test_clean_table_marks_columns_of_numbers():
    out = BeautifulSoup(clean_table("<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>x</td><td>1.5%</td></tr><tr><td>2</td><td>nan</td></tr></tbody></table>"), "lxml")
    assert [t.get_text() for t in out.select(".num")] == ["b", "1.5%", "nan"]


def test_problems_are_kept_once():
    problems = Problems()
    problems.add("p", "x")
    problems.add("p", "x")
    with pytest.raises(SiteError, match=r"1 problem\(s\):\n  p: x"):
        problems.raise_if_any()


# ---------------------------------------------------------------- the real site


@pytest.mark.timeout(600)
def test_the_handbook_builds_without_a_problem(tmp_path_factory):
    site = real_site(tmp_path_factory)
    assert (site / "nbs/index.html").is_file()
