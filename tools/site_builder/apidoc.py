"Document exported symbols as Markdown, from the source of the package: signature, docstring, parameter table, methods. Nothing is imported."

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .project import Project

WIDE = 76  # characters of a signature that still go on one line
SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Notes", "References", "Examples", "See Also")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Module:
    "One exported module: its definitions by qualified name, and its comments by line."

    path: Path
    definitions: dict[str, Definition]
    comments: dict[int, tuple[str, bool]]  # line -> (comment, whether it has the line for itself)


@lru_cache(None)
def read_module(
    path: Path,  # a Python file
    changed: int,  # when it last changed, so that a new version is read anew
) -> Module:
    "Parse a module once."
    text = path.read_text(encoding="utf-8")
    found: dict[str, Definition] = {}
    for node in ast.parse(text).body:
        if isinstance(node, Definition):
            found[node.name] = node
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{m.name}": m for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = {t.start[0]: (t.string.lstrip("#").strip(), t.line.lstrip().startswith("#")) for t in tokens if t.type == tokenize.COMMENT}
    return Module(path, found, comments)


def module_of(
    project: Project,  # the handbook
    name: str,  # a dotted module name inside the package, such as `measure.performance`
) -> Module | None:
    "Find an exported module; None when it was not exported."
    path = project.library / (name.replace(".", "/") + ".py")
    return read_module(path, path.stat().st_mtime_ns) if path.is_file() else None


def anchor(
    name: str,  # a qualified name, such as `Backtest.summary`
) -> str:
    "Give the anchor of a symbol's documentation, as nbdev's index writes it."
    return name.lower()


# ---------------------------------------------------------------- docstrings


def docstring_sections(
    node: Definition,  # what carries the docstring
) -> dict[str, str]:
    "Split a numpydoc docstring into its sections; the text before the first one is `Summary`."
    lines = (ast.get_docstring(node) or "").splitlines()
    out: dict[str, list[str]] = {"Summary": []}
    current = "Summary"
    k = 0
    while k < len(lines):
        underlined = k + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[k + 1])
        if underlined and lines[k].strip() in SECTIONS:
            current = lines[k].strip()
            out[current] = []
            k += 2
            continue
        out[current].append(lines[k])
        k += 1
    return {name: "\n".join(text).strip("\n") for name, text in out.items()}


def entries(
    text: str,  # a section such as Parameters: `name : type`, then indented lines
) -> list[tuple[str, str, str]]:
    "Read a section's entries: (name, type, description)."
    out: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        if line[:1].isspace() and out:
            out[-1][2].append(line.strip())
        elif line.strip():
            name, _, kind = line.partition(" : ")
            out.append((name.strip(), kind.strip(), []))
    return [(name, kind, " ".join(x for x in words if x)) for name, kind, words in out]


# ---------------------------------------------------------------- parameters


@dataclass
class Parameter:
    "One row of a parameter table."

    name: str
    kind: str = ""  # its annotation
    default: str = ""
    text: str = ""


def comment_for(
    node: ast.AST,  # a parameter, a field or a return annotation
    module: Module,  # where it stands
    taken: set[int],  # the lines on which parameters stand: a comment there is theirs
) -> str:
    "Find the comment that documents a parameter: at the end of its line, else on the lines of their own above it (docments)."
    line = node.end_lineno or node.lineno
    if line in module.comments and not module.comments[line][1]:
        return module.comments[line][0]
    above, out = node.lineno - 1, []
    while above in module.comments and module.comments[above][1] and above not in taken:
        out.insert(0, module.comments[above][0])
        above -= 1
    return " ".join(out)


def function_parameters(
    node: ast.FunctionDef,  # a function
    module: Module,  # where it stands
) -> list[Parameter]:
    "List a function's parameters with annotation, default and docment; `*` parts the keyword-only ones."
    a = node.args
    plain = [*a.posonlyargs, *a.args]
    defaults = [None] * (len(plain) - len(a.defaults)) + list(a.defaults)
    rows = [("", arg, default) for arg, default in zip(plain, defaults, strict=True)]
    rows += [("*", a.vararg, None)] if a.vararg else []
    rows += [("", arg, default) for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    rows += [("**", a.kwarg, None)] if a.kwarg else []
    taken = {arg.lineno for _, arg, _ in rows}
    out = []
    for star, arg, default in rows:
        if arg.arg in ("self", "cls") and arg is plain[0]:
            continue
        text = comment_for(default if default is not None else arg, module, taken)
        out.append(Parameter(star + arg.arg, unparse(arg.annotation), unparse(default), text))
    return out


def field_parameters(
    node: ast.ClassDef,  # a dataclass
    module: Module,  # where it stands
) -> list[Parameter]:
    "List a dataclass's public fields with annotation, default and docment."
    fields = [f for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name) and not f.target.id.startswith("_")]
    taken = {f.lineno for f in fields}
    return [Parameter(f.target.id, unparse(f.annotation), unparse(f.value), comment_for(f, module, taken)) for f in fields]


def unparse(
    node: ast.AST | None,  # an expression
) -> str:
    "Write an expression back as source; an annotation given as a string loses its quotes."
    if node is None:
        return ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[\w.\[\], |]+", node.value) and node.value[:1].isupper():
        return node.value
    return ast.unparse(node)


def pieces(
    a: ast.arguments,  # a function's parameters
) -> list[str]:
    "Write each parameter with its default, and the bare `/` and `*` that stand between them."

    def one(arg: ast.arg, default: ast.expr | None) -> str:
        return arg.arg + (f"={ast.unparse(default)}" if default is not None else "")

    plain = [*a.posonlyargs, *a.args]
    defaults = [None] * (len(plain) - len(a.defaults)) + list(a.defaults)
    out = [one(arg, default) for arg, default in zip(plain, defaults, strict=True)]
    if a.posonlyargs:
        out.insert(len(a.posonlyargs), "/")
    if a.vararg or a.kwonlyargs:
        out.append("*" + (a.vararg.arg if a.vararg else ""))
    out += [one(arg, default) for arg, default in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
    return out + (["**" + a.kwarg.arg] if a.kwarg else [])


def call(
    name: str,  # how it is called
    args: list[str],  # its parameters, written out
) -> str:
    "Write a signature on one line when it is short, else a parameter a line."
    line = f"{name}({', '.join(args)})"
    return line if len(line) <= WIDE else f"{name}(\n" + "".join(f"    {x},\n" for x in args) + ")"


# ---------------------------------------------------------------- Markdown


def cell(
    text: str,  # Markdown
) -> str:
    "Make text safe in a cell of a pipe table: a bar means a new cell, in code too."
    return " ".join(text.split()).replace("|", "&#124;")


def names(
    text: str,  # one name, or several that share a description
) -> str:
    "Write names as code, each for itself."
    return ", ".join(f"`{name.strip()}`" for name in text.split(","))


def code(
    text: str,  # source
) -> str:
    """Write a type as code in a table cell; words, such as `ndarray of shape (N,)`, stay words.

    A bar between types becomes `or`, since no two renderers agree how to escape it in code."""
    if re.search(r"\b(?:of|shape|or|with)\b|, ", text) and "[" not in text:
        return cell(text)
    return " or ".join(f"`{part.strip()}`" for part in text.split(" | ")) if text else ""


def parameter_table(
    rows: list[Parameter],  # the parameters
    returns: Parameter | None,  # what comes back, when something is said about it
    title: str = "Parameter",  # the first column's heading
) -> str:
    "Write a parameter table; empty when nothing is documented."
    if not rows and not returns:
        return ""
    if not any(p.text or p.kind for p in rows) and not returns:
        return ""
    lines = [f"| {title} | Type | Meaning |", "|:---|:---|:---|"]
    for p in rows:
        kind = code(p.kind) + (f"{', ' if p.kind else ''}default `{p.default.replace('|', 'or')}`" if p.default else "")
        lines.append(f"| {names(p.name)} | {kind} | {cell(p.text)} |")
    if returns:
        lines.append(f"| **Returns** | {code(returns.kind)} | {cell(returns.text)} |")
    return "\n".join(lines)


def merged(
    rows: list[Parameter],  # from the signature and its comments
    section: str,  # the docstring's section
) -> list[Parameter]:
    "Fill in what only the docstring says."
    told = ((name, kind, text) for group, kind, text in entries(section) for name in group.split(","))  # "a, b : type" tells of both
    said = {name.strip().lstrip("*"): (kind, text) for name, kind, text in told}
    for p in rows:
        kind, text = said.get(p.name.lstrip("*"), ("", ""))
        p.kind, p.text = p.kind or re.sub(r",?\s*(optional|default.*)$", "", kind), p.text or text
    return rows


def return_of(
    node: ast.FunctionDef,  # a function
    module: Module,  # where it stands
    section: str,  # the docstring's Returns
) -> Parameter | None:
    "Say what a function returns; None when nobody says."
    text = ""
    if node.returns is not None:
        text = comment_for(node.returns, module, set())
    else:  # `):  # what comes back`: the comment on the line that closes the signature
        last = max((x.end_lineno for x in ast.walk(node.args) if hasattr(x, "end_lineno")), default=node.lineno)
        closing = [n for n in range(last + 1, node.body[0].lineno) if n in module.comments]
        text = module.comments[closing[0]][0] if closing else ""
    said = entries(section)
    kind = unparse(node.returns) or (said[0][1] or said[0][0] if said else "")
    text = text or (said[0][2] if said else "")
    return Parameter("returns", kind, "", text) if text or (kind and kind != "None") else None


def rest(
    sections: dict[str, str],  # a docstring's sections
) -> list[str]:
    "Write the sections that are not parameters: attributes, errors, notes, examples, references."
    out = []
    for name, title in (("Attributes", "Attribute"), ("Raises", "Error")):
        rows = [Parameter(n, k, "", t) for n, k, t in entries(sections.get(name, ""))]
        if rows and not any(p.kind for p in rows):
            lines = [f"| {title} | Meaning |", "|:---|:---|", *(f"| {names(p.name)} | {cell(p.text)} |" for p in rows)]
            out.append("\n".join(lines))
        elif rows:
            out.append(parameter_table(rows, None, title))
    if sections.get("Notes"):
        out.append(f"**Notes.** {sections['Notes']}")
    if sections.get("See Also"):
        out.append(f"**See also.** {' '.join(sections['See Also'].split())}")
    if sections.get("Examples"):
        out.append(f"**Examples**\n\n```python\n{sections['Examples']}\n```")
    if sections.get("References"):
        items = re.split(r"(?m)^\.\. \[\d+\]\s*|^\s*[-*]\s+", sections["References"])
        out.append("**References**\n\n" + "\n".join(f"- {' '.join(x.split())}" for x in items if x.strip()))
    return out


def is_dataclass(
    node: ast.ClassDef,  # a class
) -> bool:
    "Say whether a class is decorated as a dataclass."
    return any("dataclass" in ast.unparse(d) for d in node.decorator_list)


def methods(
    node: ast.ClassDef,  # a class
) -> list[ast.FunctionDef]:
    "List a class's own public methods and properties that have a docstring."
    return [m for m in node.body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_") and ast.get_docstring(m)]


def document_function(
    name: str,  # its qualified name
    node: ast.FunctionDef,  # the function
    module: Module,  # where it stands
) -> list[str]:
    "Write a function's signature, docstring and tables."
    inside = "." in name
    decorators = [ast.unparse(d) for d in node.decorator_list]
    sections = docstring_sections(node)
    if any(d.endswith(("property", ".setter")) for d in decorators):
        returns = return_of(node, module, sections.get("Returns", ""))
        kind = f" {code(returns.kind)}" if returns and returns.kind else ""
        return [f"*Property*{kind}. {sections['Summary']}", *rest(sections)]
    args = pieces(node.args)
    head = call(name, args[1:] if inside and "staticmethod" not in decorators else args)
    rows = merged(function_parameters(node, module), sections.get("Parameters", ""))
    table = parameter_table(rows, return_of(node, module, sections.get("Returns", "")))
    return [f"```{{.python .api-signature}}\n{head}\n```", sections["Summary"], table, *rest(sections)]


def document_class(
    name: str,  # its name
    node: ast.ClassDef,  # the class
    module: Module,  # where it stands
) -> list[str]:
    "Write a class's signature, docstring and tables; its methods come after, each under a heading of its own."
    sections = docstring_sections(node)
    init = next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == "__init__"), None)
    if init is not None:
        head, rows = call(name, pieces(init.args)[1:]), function_parameters(init, module)
    elif is_dataclass(node):
        rows = field_parameters(node, module)
        head = call(name, [p.name + (f"={p.default}" if p.default else "") for p in rows])
    else:
        bases = ", ".join(ast.unparse(b) for b in node.bases)
        head, rows = f"{name}({bases})" if bases else name, []
    rows = merged(rows, sections.get("Parameters", ""))
    if sections.get("Attributes") and is_dataclass(node) and not any(p.text for p in rows):
        rows = []  # the fields are the attributes, and the docstring tells them
    table = parameter_table(rows, None, "Field" if is_dataclass(node) and init is None else "Parameter")
    return [f"```{{.python .api-signature}}\nclass {head}\n```", sections["Summary"], table, *rest(sections)]


def document(
    project: Project,  # the handbook
    name: str,  # the symbol's qualified name, such as `Backtest` or `Backtest.summary`
    module: Module,  # the module that exports it
    level: int = 3,  # the heading's level
    folded: bool = False,  # fold the parameter table, since the source with its comments stands right below
) -> str:
    "Write the documentation of one exported symbol as Markdown that Quarto and smalldocs read alike."
    node = module.definitions[name]
    is_class = isinstance(node, ast.ClassDef)
    parts = document_class(name, node, module) if is_class else document_function(name, node, module)
    source = project.source_url(module.path.relative_to(project.root).as_posix(), node.lineno)
    if folded:
        parts = [f"<details>\n<summary>Parameters</summary>\n\n{p}\n\n</details>" if p.startswith("| Parameter") else p for p in parts]
    body = "\n\n".join(p for p in parts if p)
    out = [f"{'#' * level} `{name}` {{#{anchor(name)}}}", f"::: {{.api}}\n[source]({source}){{.api-source}}\n\n{body}\n:::"]
    if is_class:
        out += [document(project, f"{name}.{m.name}", module, level + 1, folded) for m in methods(node)]
    return "\n\n".join(out)
