"""The strict comparison of chapters is strict: a changed output fails, and only what is marked or meaningless is passed over."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

import conftest
from tools.rerun import ROOT

COST = 10  # seconds, about
SVG = '<?xml version="1.0"?><svg><path d="M {0} 20"/></svg>'
DRAW = "from IPython.display import SVG, display\ndisplay(SVG(data='<?xml version=\"1.0\"?><svg><path d=\"M {0} 20\"/></svg>'))"


def printed(text, name="stdout"):
    "Make a stored print."
    return [new_output("stream", name=name, text=text)]


def shown(text):
    "Make a stored last expression."
    return [new_output("execute_result", data={"text/plain": text})]


def drawn(coordinate):
    "Make a stored drawing."
    return [new_output("display_data", data={"image/svg+xml": f'<svg><path d="M {coordinate} 20"/></svg>', "text/plain": "<IPython.core.display.SVG object>"})]


CASES = {  # source, stored outputs, what becomes of the cell
    "the same": ("print(1)", printed("1\n"), "passed"),
    "another number": ("print(1)", printed("2\n"), "failed"),
    "an output that is stored no more": ("print(1)", [], "failed"),
    "an output that is made no more": ("x = 1", printed("1\n"), "failed"),
    "another last expression": ("1 + 1", shown("3"), "failed"),
    "a semicolon silences": ("1 + 1;", [], "passed"),
    "an error": ("1 / 0", [], "failed"),
    "marked as never the same": ("#| nbval_ignore\nprint(1)", printed("2\n"), "passed"),
    "marked, but an error": ("#| nbval_ignore\n1 / 0", printed("2\n"), "failed"),
    "documentation": ("def show_doc(x):\n    print(x)\nshow_doc(1)", printed("2\n"), "passed"),
    "not evaluated": ("#| eval: false\n1 / 0", [], "skipped"),
    "not tested": ("#| notest\n1 / 0", [], "skipped"),
    "an address": ("class A: pass\nA()", shown("<__main__.A>"), "passed"),
    "the same drawing": (DRAW.format("1.0000001"), drawn("1.0000009"), "passed"),
    "another drawing": (DRAW.format("1.01"), drawn("1.02"), "failed"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    "Run all cases as the cells of one notebook, as the chapters are run, and read what became of each."
    folder = tmp_path_factory.mktemp("strict")
    for name in ("conftest.py", "settings.ini", "tests/sanitize.cfg"):
        shutil.copy2(ROOT / name, folder)
    cells = [new_code_cell(source, outputs=outputs, id=f"cell{i}") for i, (source, outputs, _) in enumerate(CASES.values())]
    nbformat.write(new_notebook(cells=cells), folder / "cases.ipynb")
    options = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", "sanitize.cfg", "-p", "no:cacheprovider", "-v", "-c", "/dev/null", "--rootdir", "."]
    run = subprocess.run([sys.executable, "-m", "pytest", *options, "cases.ipynb"], cwd=folder, capture_output=True, text=True)
    found = {int(n): word.lower() for n, word in re.findall(r"::Cell (\d+) (PASSED|FAILED|SKIPPED)", run.stdout)}
    assert len(found) == len(CASES), run.stdout + run.stderr
    return dict(zip(CASES, (found[i] for i in range(len(CASES)))))


@pytest.mark.parametrize("case", CASES)
def test_strictness(outcomes, case):
    "Each case ends as it should."
    assert outcomes[case] == CASES[case][2]


def test_long_work_comes_first():
    "A chapter counts what it took the last time, a test module what it states, everything else a second."

    class Item:
        def __init__(self, **parts):
            self.__dict__.update(parts)

    chapter = Item(parent=Item(nb=Item(metadata={"portfolio_ml": {"seconds": 30.0}})))
    module = Item(parent=Item(), module=Item(COST=12))
    assert conftest.file_cost(chapter) == 33.0
    assert conftest.file_cost(module) == 12.0
    assert conftest.file_cost(Item(parent=Item(), module=Item())) == 1.0


def test_long_texts_are_compared_briefly():
    "Two long texts are told apart by the place where they part, short ones are left to pytest."
    left = "a" * 9000
    told = conftest.pytest_assertrepr_compare("==", left, left[:5000] + "b" + left[5001:])
    assert "part at character 5000" in told[0] and len(told) == 3
    assert conftest.pytest_assertrepr_compare("==", "a", "b") is None


def test_the_name_of_a_clipping_path_does_not_count():
    drawing = '<svg><clipPath id="{0}"/><path d="M {1} 20" clip-path="url(#{0})"/><path clip-path="url(#{2})"/></svg>'
    one, other, swapped = (
        conftest.sanitize(None, drawing.format(*parts), lambda _, text: text)
        for parts in (("p56b732dd21", 1, "p1111111111"), ("p5c1ba2ae7a", 1, "p2222222222"), ("p56b732dd21", 1, "p56b732dd21"))
    )
    assert one == other != swapped
