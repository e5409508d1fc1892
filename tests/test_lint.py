"""The lint of chapters: a sound chapter passes every rule, and each rule fails on the fault that it is for."""

import copy

import pytest

from tools.lint import RULES, lint, lint_notebook
from tools.rerun import ROOT, chapters, source_hash

SVG = [{"output_type": "display_data", "data": {"image/svg+xml": "<svg></svg>", "text/plain": "<Figure>"}, "metadata": {}}]
FIGURE = '#| label: fig-{0}\n#| fig-cap: "A caption that says what one sees."\n#| fig-alt: "A line that rises from left to right, then falls."\nplot()'
EXPORTED = '''#| exports
def double(
    x: float,  # a number
    *,
    times: int = 1,  # how often
) -> float:  # twice the number
    "Double a number."
    return 2**times * x'''
KLASS = '''#| exports
class Doubler:
    """Double what it is given.

    Parameters
    ----------
    times : int
        How often.
    """

    def __init__(self, times=1):
        self.times = times

    def transform(self, x):
        "Double an array."
        return 2**self.times * x'''


def code(source, outputs=()):
    "Make a code cell."
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {}, "execution_count": None}


def prose(source):
    "Make a Markdown cell."
    return {"cell_type": "markdown", "source": source, "metadata": {}}


def exercise(number):
    "Make an exercise with its solution."
    return [
        prose(f"**{number}.** Show that it holds."),
        prose(f'::: {{.callout-tip collapse="true" title="Solution {number}"}}'),
        code("x = 2\nassert x == 2"),
        prose(":::"),
    ]


def stamped(cells, seconds=5.0):
    "Make a notebook of cells, executed as it stands."
    nb = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    nb["metadata"]["portfolio_ml"] = {"source": source_hash(nb), "seconds": seconds}
    return nb


@pytest.fixture
def cells():
    "Give the cells of a sound chapter called measure/doubling."
    middle = [cell for i in range(3) for cell in (prose("word " * 600), code(FIGURE.format(i), SVG))]
    small = [cell for i in range(8) for cell in (prose("A step."), code(f"assert {i} + 1 == {i + 1}"))]
    return [
        code("#| default_exp measure.doubling"),
        prose("# Doubling\n\n> Two times a number is its double."),
        prose('::: {.callout-note title="At a glance"}\nData: none.\n:::'),
        code("#| export\nimport numpy as np"),
        code("#| include: false\nfrom fastcore.test import *"),
        code(EXPORTED),
        code(KLASS),
        *middle,
        *small,
        prose("## Does it agree?"),
        code("np.testing.assert_allclose(double(2.0), 4.0)"),
        prose("## Key takeaways\n\n- It doubles."),
        prose("## Exercises"),
        *exercise(1), *exercise(2), *exercise(3),
        prose("## Further reading\n\n- [@a2001x] begins.\n- [@b2002y] goes on.\n- [@c2003z] ends."),
    ]


def findings(cells, name="measure/doubling", only=None, size=1000):
    "Lint cells as a chapter."
    return lint_notebook(stamped(cells), name, size, only)


def test_a_sound_chapter_passes(cells):
    "The model chapter breaks no rule."
    assert findings(cells) == []


def output(text, name="stdout"):
    "Make the output of a print."
    return [{"output_type": "stream", "name": name, "text": text}]


ADDED = {  # a cell that is put into the sound chapter, and the rule that it breaks
    "a long exported cell": ("budgets", code("#| exports\nTABLE = [\n" + "    1,\n" * 45 + "]")),
    "a class that is long by its docstring": ("budgets", code(KLASS.replace("How often.", "How often.\n" + "        And more.\n" * 30))),
    "an error as output": ("executed", code("1 / 0", [{"output_type": "error", "ename": "ZeroDivisionError"}])),
    "a second title": ("title", prose("# Another title")),
    "a solution without an assertion": ("solutions", exercise(4)[1:2] + [code("x = 2"), prose(":::")]),
    "an open solution": ("solutions", [prose('::: {.callout-tip title="Solution 4"}'), code("assert 1"), prose(":::")]),
    "a figure without label": ("figures", code('#| fig-cap: "A caption that is long."\n#| fig-alt: "A picture that one cannot see."\nplot()', SVG)),
    "a figure without caption": ("figures", code('#| label: fig-x\n#| fig-alt: "A line that rises from left to right."\nplot()', SVG)),
    "a figure without alt text": ("figures", code('#| label: fig-x\n#| fig-cap: "A caption that is long enough."\nplot()', SVG)),
    "an alt text that repeats": ("figures", code(FIGURE.format("x").replace("A line that rises from left to right, then falls.", "A caption that says what one sees."), SVG)),
    "an image without description": ("figures", prose("![](picture.svg)")),
    "a table without caption": ("tables", code("#| label: tbl-x\nframe")),
    "a label twice": ("tables", code(FIGURE.format(0))),
    "a list line in the options": ("options", code('#| fig-cap:\n#|   - "one"\nx = 1')),
    "an option below code": ("options", code("x = 1\n#| echo: false")),
    "imports with code": ("imports-alone", code("import numpy as np\nx = np.ones(3)")),
    "a star import": ("imports-alone", code("#| include: false\nfrom numpy import *")),
    "a visible star import": ("imports-alone", code("from fastcore.test import *")),
    "a patch": ("no-patch", code('@patch\ndef area(self: "Shape"):\n    "Compute the area."')),
    "a parameter without comment": ("docments", code('#| exports\ndef f(\n    x,\n    y,  # a number\n) -> int:  # a number\n    "Compute."')),
    "two parameters a line": ("docments", code('#| exports\ndef f(\n    x, y,  # two numbers\n) -> int:  # a number\n    "Compute."')),
    "a signature in one line": ("docments", code('#| exports\ndef f(x) -> int:  # a number\n    "Compute."')),
    "a return without comment": ("docments", code('#| exports\ndef f(\n    x,  # a number\n) -> int:\n    "Compute."')),
    "no docstring": ("docstrings", code("#| export\ndef _f():\n    return 1")),
    "a docstring in the third person": ("docstrings", code('#| export\ndef _f():\n    "Computes it."')),
    "a docstring without full stop": ("docstrings", code('#| export\ndef _f():\n    "Compute it"')),
    "a class without docstring": ("docstrings", code("#| export\nclass A:\n    pass")),
    "a class without parameters": ("docstrings", code(KLASS.replace("Parameters", "Things"))),
    "a data class without fields explained": ("docstrings", code('#| export\n@dataclass\nclass A:\n    "Hold a number."\n\n    x: int')),
    "a class that forgets a parameter": ("docstrings", code(KLASS.replace("times : int", "time : int"))),
    "a method without docstring": ("docstrings", code(KLASS.replace('        "Double an array."\n', ""))),
    "a download": ("no-network", code('pd.read_csv("https://example.org/prices.csv")')),
    "a network library": ("no-network", code("import requests")),
    "urllib": ("no-network", code("from urllib.request import urlopen")),
    "a download library": ("no-network", code("import yfinance as yf")),
    "plotly": ("no-network", code("import plotly.express as px")),
    "mermaid": ("no-network", prose("```{mermaid}\ngraph LR\n```")),
    "a timing magic": ("no-timing", code("%time fit()")),
    "a shell command": ("no-timing", code("!pip list")),
    "a clock": ("no-timing", code("from time import perf_counter")),
    "a printed comparison": ("asserted", code("print(a == b)")),
    "a printed closeness": ("asserted", code('print("same:", np.allclose(a, b))')),
    "a comparison in a formatted text": ("asserted", code('print(f"agrees: {abs(a - b) < 1e-6}")')),
    "a comparison shown": ("asserted", code("np.isclose(a, b).all()")),
    "a hidden check": ("asserted", code("#| include: false\nassert x == 1")),
    "a section that promises": ("asserted", [prose("## Does it agree with skfolio?"), code("compare(a, b)"), prose("## Next")]),
    "a generator without seed": ("seeded", code("rng = np.random.default_rng()")),
    "global randomness": ("seeded", code("np.random.seed(0)")),
    "inplace": ("modern-pandas", code("frame.dropna(inplace=True)")),
    "a stored warning": ("outputs", code("f()", output("FutureWarning: soon\n", "stderr"))),
    "unrounded numbers": ("outputs", code("print(x)", output("0.123456789012345"))),
    "a machine's path": ("outputs", code("print(p)", output("/home/me/prices.csv"))),
}


@pytest.mark.parametrize("case", ADDED)
def test_each_rule_finds_its_fault(cells, case):
    "One cell is added to the sound chapter, and exactly its rule speaks."
    name, extra = ADDED[case]
    extra = extra if isinstance(extra, list) else [extra]
    at = next(i for i, c in enumerate(cells) if c["source"] == "A step.")
    found = findings(cells[:at] + copy.deepcopy(extra) + cells[at:])
    assert name in {f.rule for f in found}, f"{case}: the rule {name} says nothing"
    assert {f.rule for f in found} == {name}, f"{case}: other rules speak too: {found}"


def without(cells, text):
    "Leave out the cells that contain a text."
    return [c for c in cells if text not in c["source"]]


WHOLE = {  # a change to the whole chapter, and the rule that it breaks
    "no title": ("title", lambda cs: without(cs, "# Doubling")),
    "no claim": ("title", lambda cs: [prose("# Doubling") if "> Two" in c["source"] else c for c in cs]),
    "no module": ("default-exp", lambda cs: cs[1:]),
    "another module": ("default-exp", lambda cs: [code("#| default_exp measure.halving"), *cs[1:]]),
    "no glance": ("sections", lambda cs: without(cs, "At a glance")),
    "no takeaways": ("sections", lambda cs: without(cs, "Key takeaways")),
    "no exercises": ("sections", lambda cs: without(cs, "## Exercises")),
    "no reading": ("sections", lambda cs: without(cs, "## Further reading")),
    "one citation": ("sections", lambda cs: [*without(cs, "## Further reading"), prose("## Further reading\n\n[@a2001x]")]),
    "two solutions": ("solutions", lambda cs: without(cs, "Solution 3")),
    "too few cells": ("budgets", lambda cs: [c for c in cs if c["source"] != "A step."]),
    "too many cells": ("budgets", lambda cs: [*cs, *[prose("More.") for _ in range(30)]]),
    "too few words": ("budgets", lambda cs: [prose("few") if c["source"].startswith("word") else c for c in cs]),
    "too many words": ("budgets", lambda cs: [*cs, prose("word " * 3000)]),
    "too few figures": ("budgets", lambda cs: [c for c in cs if "fig-2" not in c["source"]]),
    "long cells": ("budgets", lambda cs: [*cs, *[code("x = [\n" + "    1,\n" * 10 + "]") for _ in range(25)]]),
}


@pytest.mark.parametrize("case", WHOLE)
def test_each_rule_finds_what_is_lacking(cells, case):
    "The chapter as a whole is changed, and its rule speaks."
    name, change = WHOLE[case]
    assert name in {f.rule for f in findings(change(cells))}


def test_size_time_and_staleness(cells):
    "A file too large, a run too long and a chapter edited after its run are found."
    assert "budgets" in {f.rule for f in findings(cells, size=700_000)}
    assert "budgets" in {f.rule for f in lint_notebook(stamped(cells, seconds=90), "measure/doubling")}
    nb = stamped(cells)
    nb["cells"][-1]["source"] += " More."
    assert "executed" in {f.rule for f in lint_notebook(nb, "measure/doubling")}


def test_every_rule_is_shown_failing():
    "No rule is without its failing example."
    assert {name for name, _ in [*ADDED.values(), *WHOLE.values()]} == set(RULES)


def test_support_and_matter_are_lighter(cells):
    "Supporting rooms need no exercises, front and back matter no module."
    room = [c for c in without(cells, "## Exercises") if "Solution" not in c["source"] and c["source"] != ":::"]
    room[0] = code("#| default_exp core.doubling")
    assert findings(room, "core/doubling") == []
    page = [prose("# Glossary\n\n> Words, each explained once."), prose("**Sharpe ratio**: mean over deviation.")]
    assert findings(page, "glossary") == []
    front = {"cell_type": "raw", "source": "---\ntitle: References\ndescription: What is cited.\n---", "metadata": {}}
    assert findings([front, prose("The list.")], "references") == []
    front["source"] = "---\ntitle: References\n---"
    assert {f.rule for f in findings([front, prose("The list.")], "references")} == {"title"}


@pytest.mark.parametrize("path", chapters(), ids=lambda p: p.relative_to(ROOT / "nbs").with_suffix("").as_posix())
def test_chapter(path):
    "The chapter keeps the rules; `make lint` prints the same."
    found = lint(path)
    assert not found, "\n" + "\n".join(map(str, found))
