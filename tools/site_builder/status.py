"Generate what the notebooks say about themselves: the status table, the numbers of the home page, the provenance of a chapter."

import ast
import json
import re
from functools import lru_cache
from pathlib import Path

from tools.rerun import source_hash

from .project import Project

LOADERS = re.compile(r"\bload_(?:prices|returns|dataset|frame|table|series|panel)\w*\(\s*[\"']([\w-]+)[\"']")
STATUS = re.compile(r"^::: \{#status-table\}\s*^:::", re.M)
NUMBERS = re.compile(r"^::: \{#handbook-numbers\}\s*^:::", re.M)


def source(
    cell: dict,  # a cell
) -> str:
    "Join a cell's source."
    return "".join(cell["source"])


def tree_of(
    cell: dict,  # a code cell
) -> ast.Module:
    "Parse a cell; one that is no plain Python counts as empty."
    try:
        return ast.parse(source(cell))
    except SyntaxError:
        return ast.parse("")


def is_check(
    node: ast.AST,  # a statement or a call
) -> bool:
    "Say whether a node is an assertion, or a call of one of the usual assertion functions."
    if isinstance(node, ast.Assert):
        return True
    name = ""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name.startswith("assert_") or name in ("test_eq", "test_ne", "test_close", "test_fail", "test_is", "test_eq_type")


def title_of(
    nb: dict,  # a notebook
) -> str:
    "Find a notebook's title."
    for cell in nb["cells"]:
        if cell["cell_type"] != "code" and (m := re.search(r"^(?:#|title:)\s+(\S.*?)\s*$", source(cell), re.M)):
            return m[1].strip("\"'")
    return ""


def facts(
    nb: dict,  # a notebook
) -> dict:
    "Count what a notebook holds, and say whether its source is the one that was executed."
    code = [c for c in nb["cells"] if c["cell_type"] == "code"]
    run = nb["metadata"].get("portfolio_ml") or {}
    pictures = ("image/svg+xml", "image/png", "image/jpeg")
    data = run.get("data") or {}
    used = {name for c in code for name in LOADERS.findall(source(c))}
    return {
        "title": title_of(nb),
        "executed": run.get("executed", ""),
        "seconds": run.get("seconds"),
        "cells": len(nb["cells"]),
        "code": len(code),
        "checks": sum(is_check(n) for c in code for n in ast.walk(tree_of(c))),
        "figures": sum(any(k in o.get("data", {}) for k in pictures) for c in code for o in c.get("outputs", [])),
        "data": sorted(used | set(data)),
        "in_step": run.get("source") == source_hash(nb) if run else None,
    }


@lru_cache(None)
def all_facts(
    root: str,  # the project's folder
) -> dict[str, dict]:
    "Read the facts of every page, in reading order."
    project = Project(Path(root))
    return {p: facts(json.loads((project.root / p).read_text(encoding="utf-8"))) for p in project.pages}


def status_table(
    project: Project,  # the handbook
) -> str:
    "Write the status of every executed chapter as a Markdown table."
    lines = ["| Chapter | Executed | Run time | Cells | Checks | Figures | Data | In step |", "|:---|:---|---:|---:|---:|---:|:---|:---|"]
    for page, f in all_facts(str(project.root)).items():
        if not f["code"]:
            continue
        when = f["executed"] or "never"
        seconds = f"{f['seconds']:.1f} s" if f["seconds"] is not None else ""
        data = ", ".join(f"`{d}`" for d in f["data"]) if len(f["data"]) < 3 else f"{len(f['data'])} sets"
        step = {True: "yes", False: "**no**", None: "**not run**"}[f["in_step"]]
        cells = [f"[{f['title']}](/{page})", when, seconds, f["cells"], f["checks"], f["figures"], data, step]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def numbers(
    project: Project,  # the handbook
) -> str:
    "Write the handbook's own numbers as cards."
    found = list(all_facts(str(project.root)).values())
    chapters = [f for f in found if f["checks"]]
    total = sum(f["seconds"] or 0 for f in found)
    data = {d for f in found for d in f["data"]}
    cards = [
        (len(chapters), "chapters executed"),
        (sum(f["checks"] for f in found), "assertions, all passed"),
        (sum(f["figures"] for f in found), "figures"),
        (len(data), "data sets used"),
        (f"{total:.0f} s", "to run it all again"),
    ]
    return "::: {.kpis}\n" + "\n".join(f"::: {{.kpi}}\n[{n}]{{.n}}\n[{text}]{{.what}}\n:::" for n, text in cards) + "\n:::"


def fill_placeholders(
    nb: object,  # a notebook under nbdev's processors
    project: Project,  # the handbook
) -> None:
    "Fill in the empty divs `#status-table` and `#handbook-numbers`."
    for cell in nb.cells:
        if cell.cell_type == "markdown" and cell.source:
            if STATUS.search(cell.source):
                cell.source = STATUS.sub(lambda m: "::: {.status-table}\n" + status_table(project) + "\n:::", cell.source)
            if NUMBERS.search(cell.source):
                cell.source = NUMBERS.sub(lambda m: numbers(project), cell.source)


def provenance(
    nb: dict,  # a notebook as committed
    project: Project,  # the handbook
    page: str,  # its path
) -> str:
    "Write the provenance of an executed notebook as a Markdown box; empty for a page that was never executed."
    run, f = nb["metadata"].get("portfolio_ml"), facts(nb)
    if not run or not f["code"]:
        return ""
    data = run.get("data") or {}
    names = [f"`{d}`" + (f" ({str(data[d])[:12]})" if d in data else "") for d in f["data"]]
    items = [
        f"**Executed** {run['executed']}, {run['seconds']} s",
        f"**Checks** {f['checks']} assertions in {f['cells']} cells",
        *([f"**Data** {', '.join(names)}"] if names else []),
        f"**Python** {run['python']}",
        f"**Packages** {', '.join(f'{k} {v}' for k, v in sorted(run['packages'].items()))}",
        f"**Source** `{run['source']}`, {'as executed' if f['in_step'] else '**changed since it was executed**'}",
    ]
    return "::: {.provenance}\nProvenance\n\n" + "\n".join(f"- {x}" for x in items) + "\n:::"
