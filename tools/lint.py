"""Check that chapters keep the rules of the house: budgets, order, figures, docments, visible checks, no network.

`python -m tools.lint` lints every chapter, `python -m tools.lint measure/` those whose path contains `measure/`. Each
rule is a function that looks at a `Chapter` and yields what it finds; the docstring of the rule is what CONTRIBUTING.md
promises, and tests/test_lint.py shows each one failing.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tools.rerun import ROOT, chapters, provenance, read, source_hash

MATTER = ("index", "notation", "glossary", "references", "status", "colophon")
SUPPORT = (  # rooms that hold machinery, with a lighter budget
    "core/", "tax/ledger", "tax/matching", "tax/records", "backtest/leaks", "backtest/page", "backtest/record", "backtest/sections", "backtest/splits", "backtest/tuning", "measure/coverage",
    "measure/intervals", "measure/resampling", "measure/smooth", "optimize/", "allocation/clustering", "forecast/harness",
    "forecast/beliefs", "forecast/encoders", "forecast/indicators", "forecast/likelihood", "forecast/panel", "forecast/paths",
    "forecast/probabilities", "forecast/rungs", "forecast/sequences", "forecast/variances",
    "covariance/components", "covariance/estimator", "covariance/garch", "covariance/ranges", "covariance/sparse",
    "covariance/spectrum", "tax/accounts", "tax/harvester", "tax/netting", "tax/portfolio", "tax/rebalancing", "tax/replacement", "tax/rules",
    "trade/no_trade",
)
FULL = ("optimize/quadratic",)  # a full chapter among them
EXPORTS = ("export", "exports", "exporti")
SECTIONS = ("Key takeaways", "Exercises", "Further reading")
NETWORK = ("requests", "urllib", "urllib3", "httpx", "aiohttp", "socket", "yfinance", "curl_cffi", "http", "ftplib", "pandas_datareader")
TIMERS = ("time", "timeit")
COMPARING = ("allclose", "isclose", "array_equal", "equals", "approx", "array_equiv")
LEGACY_RANDOM = ("seed", "rand", "randn", "randint", "normal", "uniform", "choice", "shuffle", "permutation", "random")
MACHINE_PATH = re.compile(r"(?:/home/|/Users/|/root/|/tmp/|site-packages/|[A-Z]:\\Users)\S*")
OPTION = re.compile(r"^\s*#\s*\|\s*([\w-]+)\s*:?\s*(.*)$")


class Budget(NamedTuple):
    """What a chapter of a kind may spend: least and most.

    Attributes
    ----------
    cells, words, figures : tuple of int
        Least and most.
    """

    cells: tuple[int, int]
    words: tuple[int, int]
    figures: tuple[int, int]


BUDGETS = {
    "chapter": Budget((45, 75), (1500, 3500), (3, 7)),
    "support": Budget((10, 60), (150, 3500), (0, 5)),
    "matter": Budget((1, 60), (0, 5000), (0, 5)),
}
MEDIAN_LINES, EXPORTED_LINES, MOST_BYTES, MOST_SECONDS = 8, 40, 600_000, 60


class Finding(NamedTuple):
    """Something that breaks a rule.

    Attributes
    ----------
    path : str
        The chapter.
    cell : int or None
        Position of the cell in the notebook, from 0; None: the chapter as a whole.
    rule : str
        Name of the rule.
    message : str
        What is wrong, and what would be right.
    """

    path: str
    cell: int | None
    rule: str
    message: str

    def __str__(self):
        at = self.path if self.cell is None else f"{self.path} cell {self.cell}"
        return f"{at}: {self.message} [{self.rule}]"


@dataclass(frozen=True)
class Cell:
    """A cell of a chapter, read once.

    Attributes
    ----------
    at : int
        Position in the notebook, from 0.
    kind : str
        "code" or "markdown".
    source : str
        Its text.
    outputs : list
        Stored outputs.
    """

    at: int
    kind: str
    source: str
    outputs: list

    @cached_property
    def options(self) -> dict[str, str]:
        "The `#| name: value` lines at the head."
        found = {}
        for line in self.source.splitlines():
            match = OPTION.match(line)
            if not match:
                break
            found[match[1]] = match[2].strip()
        return found

    @cached_property
    def tree(self) -> ast.Module | None:
        "The parsed code; None for prose, magics and code that does not parse."
        try:
            return ast.parse(self.source) if self.kind == "code" else None
        except SyntaxError:
            return None

    @property
    def nodes(self) -> Iterator[ast.AST]:
        "Every node of the parsed code."
        return ast.walk(self.tree) if self.tree else iter(())

    @property
    def exported(self) -> bool:
        "Whether the code goes into the package."
        return any(name in self.options for name in EXPORTS)

    @property
    def hidden(self) -> bool:
        "Whether a reader sees nothing of it."
        return self.options.get("include", "").lower() == "false" or "hide" in self.options

    @property
    def lines(self) -> int:
        "Lines of code; options and empty lines are not counted, docstrings are."
        return sum(1 for line in self.source.splitlines() if line.strip() and not OPTION.match(line))

    @property
    def label(self) -> str:
        "Its cross-reference label, or nothing."
        return self.options.get("label", "").strip("\"'")


class Chapter:
    """A notebook, read for linting.

    Parameters
    ----------
    nb : dict
        The notebook as JSON.
    name : str
        Its path below `nbs`, without the ending: "measure/performance".
    size : int
        Bytes of the file.
    """

    def __init__(self, nb: dict, name: str, size: int = 0):
        self.nb, self.name, self.size = nb, name, size
        self.cells = [Cell(i, c["cell_type"], "".join(c["source"]), c.get("outputs", [])) for i, c in enumerate(nb["cells"])]
        self.code = [c for c in self.cells if c.kind == "code" and c.lines]
        self.prose = [c for c in self.cells if c.kind == "markdown"]

    @property
    def profile(self) -> str:
        "Which budget holds: a full chapter, a supporting room, front and back matter."
        if self.name in MATTER:
            return "matter"
        return "support" if self.name.startswith(SUPPORT) and self.name not in FULL else "chapter"

    @property
    def words(self) -> int:
        "Words of prose; code, formulas and markup are not counted."
        text = "\n".join(c.source for c in self.prose)
        text = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|\{[#.][^}]*\}|^:::[^\n]*$", " ", text, flags=re.DOTALL | re.MULTILINE)
        return len(re.findall(r"\w[\w'’-]*", text))

    def sections(self) -> Iterator[tuple[int, str, list[Cell]]]:
        "Cut the chapter at its second-level headings: position, title, cells."
        at, title, cells = 0, "", []
        for cell in self.cells:
            heading = re.search(r"^## +(.+?)(?: *\{.*\})?$", cell.source, re.MULTILINE) if cell.kind == "markdown" else None
            if heading:
                yield at, title, cells
                at, title, cells = cell.at, heading[1], []
            cells.append(cell)
        yield at, title, cells


RULES = {}


def rule(check):
    "Register a rule under its name."
    RULES[check.__name__.replace("_", "-")] = check
    return check


def outside(number: float, bounds: tuple[int, int]) -> bool:
    "Tell whether a number lies outside its bounds."
    return not bounds[0] <= number <= bounds[1]


@rule
def budgets(ch: Chapter):
    "Cells, words, figures, lines, bytes and seconds stay within the chapter's budget."
    budget, figures = BUDGETS[ch.profile], sum(1 for _ in figure_cells(ch))
    counted = (("cells", len(ch.cells), budget.cells), ("words", ch.words, budget.words), ("figures", figures, budget.figures))
    for what, number, bounds in counted:
        if outside(number, bounds):
            yield None, f"{number} {what}, the budget is {bounds[0]} to {bounds[1]}"
    lines = [c.lines for c in ch.code]
    if lines and median(lines) > MEDIAN_LINES:
        yield None, f"half of the code cells are longer than {median(lines):g} lines, the budget is {MEDIAN_LINES}"
    for cell in ch.code:
        shown = sum(1 for line in cell.source.splitlines() if line.strip())  # the `#|` line too: a reader sees it
        if cell.exported and shown > EXPORTED_LINES:
            yield cell.at, f"an exported cell of {shown} lines, the budget is {EXPORTED_LINES}"
    if ch.size > MOST_BYTES:
        yield None, f"the file has {ch.size:,} bytes, the budget is {MOST_BYTES:,}"
    if provenance(ch.nb).get("seconds", 0) > MOST_SECONDS:
        yield None, f"it ran for {provenance(ch.nb)['seconds']} s, the budget is {MOST_SECONDS}"


@rule
def executed(ch: Chapter):
    "The chapter was executed as it now stands, and no cell ended in an error."
    if provenance(ch.nb).get("source") != source_hash(ch.nb):
        yield None, "it has changed since it was last executed: make rerun CHAPTERS=" + ch.name
    for cell in ch.code:
        if any(o["output_type"] == "error" for o in cell.outputs):
            yield cell.at, "an error is stored as output; show an error with try and except"


@rule
def title(ch: Chapter):
    "One first-level heading, at the top, with a one-sentence claim in a quotation below it; or both in a raw cell of front matter."
    first = ch.prose[0] if ch.prose else None
    if ch.cells and ch.cells[0].kind == "raw" and ch.profile == "matter":
        if not all(re.search(rf"^{key}: *\S", ch.cells[0].source, re.MULTILINE) for key in ("title", "description")):
            yield 0, "front matter needs `title:` and `description:`"
        return
    if first is None or not re.match(r"# \S", first.source):
        yield None, "the first Markdown cell must begin with `# Title`"
        return
    if not re.match(r"# .+\n\n> \S", first.source):
        yield first.at, "the title needs the chapter's claim below it: an empty line, then `> one sentence`"
    extra = [c for c in ch.prose if c is not first and re.search(r"^# \S", without_fences(c.source), re.MULTILINE)]
    for cell in extra:
        yield cell.at, "a second first-level heading; use `##`"


@rule
def default_exp(ch: Chapter):
    "The first cell names the module, which is named like the chapter."
    if ch.profile == "matter":
        return
    match = re.match(r"\s*#\s*\|\s*default_exp\s+(\S+)\s*$", ch.cells[0].source if ch.cells else "")
    wanted = ch.name.replace("/", ".")
    if not match:
        yield 0, f"the first cell must hold `#| default_exp {wanted}` and nothing else"
    elif match[1] != wanted:
        yield 0, f"default_exp is {match[1]}, the chapter is {wanted}"


@rule
def sections(ch: Chapter):
    "At a glance, key takeaways, three to five exercises with executed solutions, further reading with citations."
    if ch.profile == "matter":
        return
    if not any(re.search(r"^:::+ *\{\.callout[^}]*At a glance", c.source, re.MULTILINE) for c in ch.prose):
        yield None, "no callout titled At a glance"
    titles = {name: cells for _, name, cells in ch.sections()}
    for wanted in SECTIONS if ch.profile == "chapter" else SECTIONS[:1]:
        if wanted not in titles:
            yield None, f"no section `## {wanted}`"
    reading = "\n".join(c.source for c in titles.get("Further reading", ()))
    if "Further reading" in titles and len(set(re.findall(r"@([\w:-]+)", reading))) < 3:
        yield None, "further reading cites fewer than three works"


@rule
def solutions(ch: Chapter):
    "Each exercise has a collapsed solution that ends in an assertion."
    if ch.profile != "chapter":
        return
    opened = [c for c in ch.prose if re.search(r"^:::+ *\{\.callout[^}]*Solution", c.source, re.MULTILINE)]
    if outside(len(opened), (3, 5)):
        yield None, f"{len(opened)} solved exercises, three to five are wanted"
    for cell in opened:
        if "collapse" not in cell.source:
            yield cell.at, 'a solution in the open; add collapse="true"'
        body = following_code(ch, cell)
        if not body or not any(isinstance(n, ast.Assert) or is_call_to(n, "assert_") for n in body[-1].nodes):
            yield cell.at, "a solution whose last cell asserts nothing"


def following_code(ch: Chapter, opening: Cell) -> list[Cell]:
    "List the code cells between the opening of a callout and its end."
    found = []
    for cell in ch.cells[opening.at + 1 :]:
        if cell.kind == "code":
            found.append(cell)
        elif re.search(r"^:::+\s*$", cell.source, re.MULTILINE):
            break
    return found


def figure_cells(ch: Chapter) -> Iterator[Cell]:
    "Find the cells that draw: labelled as a figure, or with a stored image."
    for cell in ch.code:
        images = any(k.startswith("image/") for o in cell.outputs for k in o.get("data", {}))
        if cell.label.startswith("fig-") or (images and not cell.hidden):
            yield cell


@rule
def figures(ch: Chapter):
    "Each figure has a label, a caption and a text for those who cannot see it, which is not the caption again."
    for cell in figure_cells(ch):
        caption, alt = (cell.options.get(k, "").strip("\"'") for k in ("fig-cap", "fig-alt"))
        if not cell.label.startswith("fig-"):
            yield cell.at, "a figure without `#| label: fig-...`"
        if len(caption) < 15:
            yield cell.at, "a figure without a caption, `#| fig-cap`"
        if len(alt) < 30:
            yield cell.at, "a figure without a text for those who cannot see it, `#| fig-alt`"
        elif alt == caption:
            yield cell.at, "fig-alt repeats fig-cap; say what the picture shows"
    for cell in ch.prose:
        for match in re.finditer(r"!\[([^\]]*)\]", without_fences(cell.source)):
            if len(match[1].strip()) < 5:
                yield cell.at, "an image without a description in its brackets"


@rule
def tables(ch: Chapter):
    "Each labelled table has a caption, and no label stands twice."
    seen = set()
    for cell in ch.code:
        if cell.label.startswith("tbl-") and len(cell.options.get("tbl-cap", "")) < 10:
            yield cell.at, "a table without a caption, `#| tbl-cap`"
        if cell.label and cell.label in seen:
            yield cell.at, f"the label {cell.label} stands twice"
        seen.add(cell.label)


@rule
def options(ch: Chapter):
    "Cell options are single lines at the head of their cell; list lines crash the export."
    for cell in ch.code:
        inside = False
        for number, line in enumerate(cell.source.splitlines()):
            if re.match(r"\s*#\s*\|\s*-\s", line):
                yield cell.at, "an option written as a list line; write the list inline"
            elif number and OPTION.match(line) and inside:
                yield cell.at, f"the option `{line.strip()}` stands below code; options come first"
            inside = inside or not OPTION.match(line)


@rule
def imports_alone(ch: Chapter):
    "Imports stand in cells of their own, with explicit names."
    for cell in ch.code:
        body = cell.tree.body if cell.tree else []
        imports = [n for n in body if isinstance(n, ast.Import | ast.ImportFrom)]
        if imports and len(imports) < len(body):
            yield cell.at, "imports together with other code; give them a cell of their own"
        for node in imports:
            star = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
            if star and not (node.module == "fastcore.test" and cell.hidden):
                yield cell.at, f"from {node.module} import *: name what is imported"


@rule
def no_patch(ch: Chapter):
    "A class stands whole in one cell: no @patch."
    for cell in ch.code:
        for node in cell.nodes:
            decorators = getattr(node, "decorator_list", ())
            if any((name := dotted(d)).split(".")[-1].startswith("patch") and "mock" not in name for d in decorators):
                yield cell.at, "@patch: write the class in one cell and keep it short with functions"


def public_functions(cell: Cell) -> Iterator[ast.FunctionDef]:
    "Find the functions that a cell exports for others to call."
    if cell.exported and cell.tree:
        yield from (n for n in cell.tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) and not n.name.startswith("_"))


def exported_classes(cell: Cell) -> Iterator[ast.ClassDef]:
    "Find the classes that a cell exports."
    if cell.exported and cell.tree:
        yield from (n for n in cell.tree.body if isinstance(n, ast.ClassDef))


def comment_lines(source: str) -> set[int]:
    "Find the lines that carry a comment."
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0] for t in tokens if t.type == tokenize.COMMENT and len(t.string.strip("# ")) > 2}


def signature_end(source: str, function: ast.FunctionDef) -> int:
    "Find the line with the colon that ends a signature."
    depth = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.start[0] < function.lineno:
            continue
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if token.string == ":" and depth == 0:
                return token.start[0]
    return function.lineno


def undocumented(cell: Cell, function: ast.FunctionDef) -> list[str]:
    "List the parameters of a function that have no comment on their line, and the return if that has none."
    commented, spec = comment_lines(cell.source), function.args
    arguments = [*spec.posonlyargs, *spec.args, *filter(None, [spec.vararg]), *spec.kwonlyargs, *filter(None, [spec.kwarg])]
    end, seen, missing = signature_end(cell.source, function), set(), []
    for argument in arguments:
        line = argument.lineno
        if line not in commented or line in seen or line == end:
            missing.append(argument.arg)
        seen.add(line)
    return missing if end in commented else [*missing, "return"]


@rule
def docments(ch: Chapter):
    "Each parameter of an exported function has a comment on its own line, and so has the return."
    for cell in ch.code:
        for function in public_functions(cell):
            missing = undocumented(cell, function)
            if missing:
                yield cell.at, f"{function.name}: no comment of its own for {', '.join(missing)}"


@rule
def docstrings(ch: Chapter):
    "Exported functions have a one-line docstring that gives an order; exported classes and their public methods have one too."
    for cell in ch.code:
        if not (cell.exported and cell.tree):
            continue
        for node in cell.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from ((cell.at, f"{node.name}: {fault}") for fault in docstring_faults(node))
        for klass in exported_classes(cell):
            yield from ((cell.at, f"{klass.name}: {fault}") for fault in class_faults(klass))


def docstring_faults(function: ast.FunctionDef) -> Iterator[str]:
    "Find what is wrong with the docstring of a function."
    text = ast.get_docstring(function) or ""
    first = text.partition("\n")[0]
    word = first.split(" ")[0]
    if not text:
        yield "no docstring"
    elif first[-1] not in ".?:!":
        yield "the first line of its docstring must be a whole sentence, with its full stop"
    elif re.fullmatch(r"[A-Z][a-z]+[^siu']s", word):
        yield f"its docstring begins with {word!r}; give an order, such as `Compute`"


def parameters_of(klass: ast.ClassDef) -> list[str]:
    "List the parameters of a class's `__init__`."
    inits = [n for n in klass.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    return [a.arg for n in inits for a in [*n.args.posonlyargs, *n.args.args, *n.args.kwonlyargs][1:]]


def has_fields(klass: ast.ClassDef) -> bool:
    "Tell whether a class is a data class or a named tuple, made from the fields that stand in its body."
    return any("dataclass" in dotted(d) for d in klass.decorator_list) or any("NamedTuple" in dotted(b) for b in klass.bases)


def class_faults(klass: ast.ClassDef) -> Iterator[str]:
    "Find what is wrong with the docstrings of a class and of its public methods."
    text = ast.get_docstring(klass) or ""
    if not text:
        yield "no docstring"
        return
    names = parameters_of(klass)
    if (names or has_fields(klass)) and not re.search(r"^(Parameters|Attributes)\n-{3,}", text, re.MULTILINE):
        yield "its docstring needs a numpydoc section Parameters or Attributes"
    absent = [n for n in names if not n.startswith("_") and not re.search(rf"\b{re.escape(n)}\b", text)]
    if absent:
        yield f"its docstring does not describe {', '.join(absent)}"
    for node in klass.body:
        private = isinstance(node, ast.FunctionDef) and node.name.startswith("_")
        if isinstance(node, ast.FunctionDef) and not private and not ast.get_docstring(node):
            yield f"{node.name} has no docstring"


def dotted(node: ast.AST) -> str:
    "Write a name, attribute or call as a dotted name."
    if isinstance(node, ast.Call):
        return dotted(node.func)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_call_to(node: ast.AST, start: str) -> bool:
    "Tell whether a node is a call whose last name begins so."
    return isinstance(node, ast.Call) and dotted(node).split(".")[-1].startswith(start)


def imported(cell: Cell) -> Iterator[str]:
    "List the modules that a cell imports."
    for node in cell.nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


@rule
def no_network(ch: Chapter):
    "A chapter never reaches for the network: data come from `data/`, drawings are stored."
    for cell in ch.code:
        for module in imported(cell):
            if module.split(".")[0] in NETWORK and module != "urllib.parse":
                yield cell.at, f"imports {module}: chapters run offline"
            if module.split(".")[0] == "plotly":
                yield cell.at, "plotly needs the network to show; draw with matplotlib"
        for node in cell.nodes:
            given = [*node.args, *(k.value for k in node.keywords)] if isinstance(node, ast.Call) else []
            if any(isinstance(a, ast.Constant) and re.match(r"(https?|ftp)://", str(a.value)) for a in given):
                yield cell.at, f"{dotted(node)} is given a web address: chapters run offline"
    for cell in ch.prose:
        if re.search(r"^```+ *\{?mermaid", cell.source, re.MULTILINE):
            yield cell.at, "mermaid needs the network to show; store a drawing"


@rule
def no_timing(ch: Chapter):
    "A chapter measures no time: the numbers would differ on every machine. `bench/` does that."
    for cell in ch.code:
        if re.search(r"^\s*%%?\w+|^\s*!", cell.source, re.MULTILINE) and cell.tree is None:
            yield cell.at, "a magic or a shell command; a chapter is plain Python"
        if not cell.exported and any(m.split(".")[0] in TIMERS for m in imported(cell)):
            yield cell.at, "imports a clock; timings belong in bench/"


def compares(node: ast.AST) -> bool:
    "Tell whether an expression says whether two things are equal or close."
    if isinstance(node, ast.BoolOp):
        return any(map(compares, node.values))
    if isinstance(node, ast.Call) and dotted(node).split(".")[-1] in ("all", "any", "bool"):
        inner = [*node.args, node.func.value] if isinstance(node.func, ast.Attribute) else node.args
        return any(map(compares, inner))
    numeric = isinstance(node, ast.Compare) and all(isinstance(op, ast.Eq | ast.Lt | ast.Gt | ast.LtE | ast.GtE) for op in node.ops)
    return numeric or (isinstance(node, ast.Call) and dotted(node).split(".")[-1] in COMPARING)


@rule
def asserted(ch: Chapter):
    "A printed comparison is not a test: it is asserted, in a cell that the reader sees."
    for cell in ch.code:
        body = cell.tree.body if cell.tree else []
        for node in (n.value for n in body if isinstance(n, ast.Expr)):
            shown = node.args if is_call_to(node, "print") or is_call_to(node, "display") else [node]
            parts = [p.value for s in shown if isinstance(s, ast.JoinedStr) for p in s.values if isinstance(p, ast.FormattedValue)]
            if any(map(compares, [*shown, *parts])):
                yield cell.at, "a comparison is shown; assert it"
        if cell.hidden and any(isinstance(n, ast.Assert) for n in cell.nodes):
            yield cell.at, "a check that the reader does not see; hide only plumbing"
    if ch.profile != "matter":
        yield from unasserted_sections(ch)


def unasserted_sections(ch: Chapter):
    "Find sections that promise agreement and assert nothing."
    for at, name, cells in ch.sections():
        code = [c for c in cells if c.kind == "code" and not c.hidden]
        promised = re.search(r"\b(agrees?|checks?|invariants?|known truth)\b", name, re.IGNORECASE)
        if promised and code and not any(isinstance(n, ast.Assert) or is_call_to(n, "assert_") for c in code for n in c.nodes):
            yield at, f"the section {name!r} asserts nothing"


@rule
def seeded(ch: Chapter):
    "Randomness has a seed, through a generator: no global state."
    for cell in ch.code:
        for call in (n for n in cell.nodes if isinstance(n, ast.Call)):
            name = dotted(call)
            if name.endswith("default_rng") and not (call.args or call.keywords):
                yield cell.at, "default_rng() without a seed"
            if re.fullmatch(rf"(np|numpy)\.random\.({'|'.join(LEGACY_RANDOM)})", name):
                yield cell.at, f"{name}: use a generator, np.random.default_rng(0)"


@rule
def modern_pandas(ch: Chapter):
    "No `inplace=`."
    for cell in ch.code:
        if any(k.arg == "inplace" for n in cell.nodes if isinstance(n, ast.Call) for k in n.keywords):
            yield cell.at, "inplace= is on its way out of pandas; assign the result"


@rule
def outputs(ch: Chapter):
    "Stored outputs mean the same on every machine: rounded numbers, no warnings, no paths, no addresses."
    for cell in ch.code:
        for output in cell.outputs:
            if output.get("name") == "stderr":
                yield cell.at, "a warning or message on stderr is stored; mend its cause"
            text = output_text(output)
            if re.search(r"\d\.\d{11,}", text):
                yield cell.at, "a number with more digits than another processor will give; round what is shown"
            if found := MACHINE_PATH.search(text):
                yield cell.at, f"the path of a machine is stored: {found[0][:60]}"


def output_text(output: dict) -> str:
    "Read the plain text of a stored output."
    text = output.get("text") or output.get("data", {}).get("text/plain") or ""
    return "".join(text)


def without_fences(source: str) -> str:
    "Take the fenced code out of a Markdown text."
    return re.sub(r"^(```|~~~).*?^\1", "", source, flags=re.DOTALL | re.MULTILINE)


def lint_notebook(nb: dict, name: str, size: int = 0, only: str | None = None) -> list[Finding]:
    "Apply the rules, or the one that is named, to a notebook."
    chapter, found = Chapter(nb, name, size), []
    for rule_name, check in RULES.items():
        if only in (None, rule_name):
            found += [Finding(f"nbs/{name}.ipynb", cell, rule_name, message) for cell, message in check(chapter)]
    return found


def lint(path: Path) -> list[Finding]:
    "Lint a chapter's file."
    name = path.relative_to(ROOT / "nbs").with_suffix("").as_posix()
    return lint_notebook(read(path), name, path.stat().st_size)


def main() -> int:
    "Lint the chapters that were asked for, and print what was found."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", help="parts of a chapter's path; none: every chapter")
    parser.add_argument("--rules", action="store_true", help="list the rules and stop")
    args = parser.parse_args()
    if args.rules:
        print("\n".join(f"{name:15} {check.__doc__}" for name, check in RULES.items()))
        return 0
    paths = chapters(args.patterns)
    found = [finding for path in paths for finding in lint(path)]
    print("\n".join(map(str, found)), file=sys.stderr) if found else None
    print(f"{len(paths)} chapters, {len(RULES)} rules, {len(found)} findings")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
