"Prepare one notebook for reading, with nbdev's processors: the step that Quarto's filter and our builder share."

import ast
import re

import yaml

from .apidoc import document, module_of
from .project import Problems, Project
from .status import fill_placeholders, provenance
from .symbols import link_names

TITLE = re.compile(r"\s*# (?P<title>[^\n]+)\n?(?:\s*\n(?P<claim>(?:>[^\n]*\n?)+))?(?:\s*\n(?P<options>(?:- [\w-]+: [^\n]*\n?)+))?")


def default_export(
    nb: dict,  # a notebook as JSON
) -> str:
    "Find the module that a notebook exports to, such as `measure.performance`; empty when it exports nothing."
    for cell in nb["cells"]:
        if found := re.search(r"^\s*#\|\s*default_exp\s+(\S+)", "".join(cell["source"]), re.M):
            return found[1]
    return ""


def shown_symbols(
    cell: object,  # a code cell under nbdev's processors
) -> list[str]:
    "List the symbols that a cell documents by an explicit `show_doc`."
    calls = [n.value for n in cell.parsed_() or [] if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
    return [ast.unparse(c.args[0]) for c in calls if getattr(c.func, "id", "") == "show_doc"]


def defined_symbols(
    cell: object,  # a code cell under nbdev's processors
) -> list[str]:
    "List the public functions and classes that an exported cell defines."
    if not {"export", "exports"} & cell.directives_.keys() or cell.directives_.get("include:") == ["false"]:
        return []
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [n.name for n in cell.parsed_() or [] if isinstance(n, kinds) and not n.name.startswith("_")]


def add_documentation(
    nb: object,  # a notebook under nbdev's processors
    exported: str,  # the module it exports to
    project: Project,  # the handbook
    page: str,  # its path
    problems: Problems,  # where to note a symbol that was not exported
) -> None:
    """Put the documentation of every exported symbol before the cell that defines it, or where `show_doc` asks for it.

    It is written from the exported source: nothing is imported or run, and class docstrings come out whole."""
    from execnb.nbio import mk_cell

    module = module_of(project, exported) if exported else None
    code = [c for c in nb.cells if c.cell_type == "code"]
    explicit = {name for c in code for name in shown_symbols(c)}
    out = []
    for cell in nb.cells:
        shown = shown_symbols(cell) if cell.cell_type == "code" else []
        names = shown or [n for n in (defined_symbols(cell) if cell.cell_type == "code" else []) if n not in explicit]
        for name in names:
            if module is None or name not in module.definitions:
                problems.add(page, f"{name} is not in the exported module {exported or '(none)'}: run nbdev_export")
            else:
                text = document(project, name, module, folded="exports" in cell.directives_)
                out.append(mk_cell(text, "markdown"))
        if not shown:
            out.append(cell)
    nb.cells = out


def link_cells(
    nb: object,  # a notebook under nbdev's processors
    project: Project,  # the handbook
    page: str,  # its path
) -> None:
    "Link the names in back-ticks of Markdown cells."
    for cell in nb.cells:
        if cell.cell_type == "markdown" and cell.source:
            cell.source = link_names(cell.source, project, page)


def part_headings(
    nb: object,  # a notebook under nbdev's processors
) -> None:
    "Give a heading an id of its own when its text would make the id of a symbol documented on the page, as `Drawdowns` and `drawdowns`."
    symbols = {m[1] for c in nb.cells if c.cell_type == "markdown" for m in re.finditer(r"^#+ `[^`]+` \{#(\S+)\}$", c.source or "", re.M)}

    def one(m: re.Match) -> str:
        ident = re.sub(r"[^\w\s.-]", "", m[2]).strip().lower().replace(" ", "-")
        return f"{m[0]} {{#{ident}-section}}" if ident in symbols else m[0]

    for cell in nb.cells:
        if cell.cell_type == "markdown" and cell.source:
            cell.source = re.sub(r"^(#{2,6}) ([^`{}\n]+)$", one, cell.source, flags=re.M)


def split_title_cell(
    nb: dict,  # a notebook as JSON
) -> dict:
    """Part the title cell into front matter and the rest: title, claim, and options written as `- key: value`.

    nbdev takes the whole cell for front matter, and what else stands in it would be lost."""
    cells = list(nb["cells"])
    for k, cell in enumerate(cells):
        text = "".join(cell["source"])
        m = TITLE.match(text) if cell["cell_type"] == "markdown" else None
        if cell["cell_type"] == "raw" and text.lstrip().startswith("---"):
            break
        if m is None:
            continue
        front = {"title": m["title"].strip()}
        if m["claim"]:
            front["description"] = " ".join(line.lstrip("> ") for line in m["claim"].strip().splitlines())
        front |= yaml.safe_load(re.sub(r"^- ", "", m["options"] or "", flags=re.M)) or {}
        raw = {"cell_type": "raw", "id": "front-matter", "metadata": {}, "source": f"---\n{yaml.dump(front, allow_unicode=True, sort_keys=False, width=10**6)}---\n"}
        rest = text[m.end() :].strip("\n")
        cells[k : k + 1] = [{**cell, "source": rest}] if rest.strip() else []
        cells.insert(0, raw)
        break
    return {**nb, "cells": cells}


def drop_output_file(
    nb: dict,  # a processed notebook
) -> None:
    "Drop `output-file` from the front matter: nbdev sets it for its own renaming, which neither of our renderers wants."
    cell = nb["cells"][0] if nb["cells"] else {}
    if cell.get("cell_type") == "raw":
        front = yaml.safe_load("".join(cell["source"]).strip().strip("-")) or {}
        front.pop("output-file", None)
        cell["source"] = f"---\n{yaml.dump(front, allow_unicode=True, sort_keys=False, width=10**6)}---\n"


def process(
    nb: dict,  # a notebook as JSON
    page: str,  # its path from the root, such as `nbs/measure/performance.ipynb`
    project: Project,  # the handbook
    problems: Problems,  # where to note what is wrong
) -> dict:
    "Run nbdev's processors on a notebook, document its symbols, link the names, and add what is generated: status, provenance."
    from execnb.nbio import dict2nb, mk_cell, nb2dict
    from nbdev import processors as p
    from nbdev.frontmatter import FrontmatterProc
    from nbdev.process import NBProcessor

    state = dict2nb(split_title_cell(nb))
    state.path_ = page
    steps = [FrontmatterProc, p.populate_language, p.strip_ansi, p.hide_line, p.filter_stream_, p.rm_header_dash]
    steps += [p.rm_export, p.clean_magics, p.hide_, p.add_fold, p.strip_hidden_metadata]
    processor = NBProcessor(nb=state, procs=steps)
    add_documentation(state, default_export(nb), project, page, problems)
    fill_placeholders(state, project)
    processor.process()
    part_headings(state)
    link_cells(state, project, page)
    if foot := provenance(nb, project, page):
        state.cells.append(mk_cell(foot, "markdown"))
    out = nb2dict(state)
    drop_output_file(out)
    return out
