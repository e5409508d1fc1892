"""README.md is the home chapter's marked cells, fit for a code host, and short."""

import re

import pytest

from tools.readme import HOME, NOTE, build, plain, stale
from tools.rerun import ROOT, read

SVG = {"output_type": "display_data", "data": {"image/svg+xml": ["<svg>\n", "</svg>"]}}


def prose(source, *tags):
    "Make a Markdown cell."
    return {"cell_type": "markdown", "source": source, "metadata": {"tags": list(tags)} if tags else {}}


@pytest.fixture
def root(tmp_path):
    "Make a project with a chapter and a picture to link to."
    for name in ("nbs/measure/performance.ipynb", "nbs/images/logo.svg", "data/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x", encoding="utf-8")
    return tmp_path


def test_marked_cells_in_order(root):
    "Tagged and commented cells are taken, others are left, a figure becomes a file with its text."
    figure = {"cell_type": "code", "source": '#| label: fig-x\n#| readme: true\n#| fig-alt: "A line."\nplot()', "metadata": {}, "outputs": [SVG]}
    nb = {"cells": [prose("# Title", "readme"), prose("left out"), figure, prose("<!-- readme -->\nLast.")], "metadata": {}}
    files = build(nb, root)
    assert files == {"README.md": f"{NOTE}\n\n# Title\n\n![A line.](assets/fig-x.svg)\n\nLast.\n", "assets/fig-x.svg": "<svg>\n</svg>"}
    assert stale(files, root) == list(files)


def test_title_and_claim_come_first(root):
    "The title cell gives its title and claim, not its settings, marked or not."
    cells = [prose("# Title\n\n> A claim.\n\n- toc: false\n- aliases: [/x.html]"), prose("<!-- readme -->\nText.")]
    assert build({"cells": cells, "metadata": {}}, root)["README.md"] == f"{NOTE}\n\n# Title\n\n> A claim.\n\nText.\n"


@pytest.mark.parametrize(("source", "wanted"), [
    ("[No]{.verdict .no}: not by these", "No: not by these"),
    ("[measures](measure/performance.ipynb)", "[measures](nbs/measure/performance.ipynb)"),
    ("[measures](measure/performance.ipynb#sec-x)", "[measures](nbs/measure/performance.ipynb)"),
    ("[data](../data/README.md#us20)", "[data](data/README.md#us20)"),
    ("![Logo](images/logo.svg){.logo width=200}", "![Logo](nbs/images/logo.svg)"),
    ("[![Logo](images/logo.svg)](https://example.org)", "[![Logo](nbs/images/logo.svg)](https://example.org)"),
    ("[a site](https://example.org/a)", "[a site](https://example.org/a)"),
    ("see [below](#sec-x)", "see below"),
    ("[data](https://github.com/portfolio-ml/portfolio_ml/blob/main/data/README.md)", "[data](data/README.md)"),
    ("## Heading {#sec-x .unnumbered}", "## Heading"),
    ('::: {.callout-tip collapse="true" title="In short"}\nText.\n:::', "**In short**\n\nText.\n"),
    ("::: {.grid}\nText.\n:::\n", "Text.\n"),
    ('<div class="hero">Text</div>', "Text"),
    ("Known since 1952 [@markowitz1952; @roy1952].", "Known since 1952."),
    ("```bash\nmake handbook  # [x](y) {#z}\n```", "```bash\nmake handbook  # [x](y) {#z}\n```"),
])
def test_site_markdown_becomes_plain(root, source, wanted):
    "Links work from the root; callouts, classes and citations are written plainly; code is left alone."
    assert plain(source, root) == wanted


@pytest.mark.parametrize(("source", "message"), [("[gone](trade/costs.ipynb)", "does not exist"), ("As @fig-map shows.", "cross-reference")])
def test_what_would_not_work_is_refused(root, source, message):
    "A link to nowhere and a cross-reference stop the build."
    with pytest.raises(ValueError, match=message):
        plain(source, root)


def test_no_marked_cell_is_refused(root):
    "A home chapter without marked cells writes no empty README."
    with pytest.raises(ValueError, match="no cell"):
        build({"cells": [prose("text")], "metadata": {}}, root)


def test_readme_is_in_step():
    "README.md is what `make readme` writes."
    assert not stale(build(read(ROOT / HOME))), "out of step with the home chapter: run `make readme`"


def test_readme_is_short_and_names_the_commands():
    "The README fits a screen or two, names both commands, and every link in it leads somewhere."
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert "make handbook" in text and "make test" in text
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"\w+:", target):
            assert (ROOT / target.partition("#")[0]).exists(), f"README links to {target}, which is not there"
