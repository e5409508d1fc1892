"""The reading order of `_quarto.yml` is the order of the imports, and the installed package needs no authoring tool."""

import ast
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml

from tools.rerun import ROOT, chapters

AUTHORING = {"nbdev", "execnb", "fastcore", "IPython", "ipykernel", "nbformat", "nbclient"}
HEAVY = {"torch", "cvxpy", "matplotlib", "statsmodels", "skfolio", "pypfopt", "riskfolio", "quantstats", "lightgbm", "arch", "seaborn", "numba"}
MODULES = sorted(p for p in (ROOT / "portfolio_ml").rglob("*.py") if not p.name.startswith("_"))
# A method that opens a later room when it is called, and imports nothing before: `Backtest.report()` makes the page that a later chapter builds.
DOORS = {("portfolio_ml.backtest.record", "portfolio_ml.backtest.report")}
EACH_MODULE = pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT / "portfolio_ml").as_posix())


def leaves(contents) -> list[str]:
    "List the pages of a sidebar, in order, down through its sections."
    pages = []
    for item in contents:
        if isinstance(item, str):
            pages.append(item)
            continue
        if "href" in item:
            pages.append(item["href"])
        pages += leaves(item.get("contents", ()))
    return pages


def sidebar() -> list[str]:
    "Read the pages of the sidebar, in reading order."
    config = yaml.safe_load((ROOT / "_quarto.yml").read_text(encoding="utf-8"))
    return leaves(config["website"]["sidebar"]["contents"])


def module_of(page: str) -> str:
    "Name the module of a page: nbs/measure/performance.ipynb is portfolio_ml.measure.performance."
    return page.replace("nbs/", "portfolio_ml/", 1).removesuffix(".ipynb").replace("/", ".")


def name_of(path: Path) -> str:
    "Name the module of a file."
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")


def imports(path: Path, top_only=False) -> list[str]:
    "List the modules that a file imports, relative ones made absolute."
    tree, package, found = ast.parse(path.read_text(encoding="utf-8")), name_of(path).split(".")[:-1], []
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            found += [module] if node.module else [f"{module}.{alias.name}" for alias in node.names]
    return found


def guarded(path: Path) -> set[str]:
    "List the modules that a file imports only if they are there: in a `try` that an ImportError leads out of."
    tries = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Try)]
    caught = [n for n in tries if any("ImportError" in ast.dump(h.type) or "ModuleNotFound" in ast.dump(h.type) for h in n.handlers if h.type)]
    return {alias.name.split(".")[0] for t in caught for n in t.body if isinstance(n, ast.Import) for alias in n.names}


def test_the_sidebar_lists_every_chapter_once():
    "Each chapter stands in the sidebar exactly once, and each page of the sidebar is there."
    pages = sidebar()
    assert len(pages) == len(set(pages)), "a page stands twice in the sidebar"
    there = {p.relative_to(ROOT).as_posix() for p in chapters()}
    assert there - set(pages) == set(), "chapters that no reader finds: add them to the sidebar of _quarto.yml"
    assert set(pages) - there == set(), "pages of the sidebar without a notebook"


def order_faults(own: str, used: list[str], order: list[str], at_top: list[str] = ()) -> list[str]:
    "Say which imports of a module break the reading order; a door may be opened inside a function, not at the top."
    if own not in order:
        return [f"{own} has no chapter in the sidebar"]
    ours, faults = [m for m in used if m.split(".")[0] == "portfolio_ml"], []
    for module in ours:
        if (own, module) in DOORS and module in order and module not in at_top:
            continue
        if module not in order:
            faults.append(f"{own} imports {module}, which has no chapter in the sidebar")
        elif order.index(module) >= order.index(own):
            faults.append(f"{own} imports {module}, whose chapter stands below its own")
    return faults


@EACH_MODULE
def test_imports_run_up_the_reading_order(path):
    "A module imports only from modules whose chapters stand above its own."
    faults = order_faults(name_of(path), imports(path), [module_of(page) for page in sidebar()], imports(path, top_only=True))
    assert not faults, "\n".join(faults)


def test_the_order_is_checked(tmp_path, monkeypatch):
    "An import from a later chapter, from a module without chapter and from the whole package are found."
    order = ["portfolio_ml.a.one", "portfolio_ml.a.two"]
    assert order_faults(order[1], [order[0], "numpy"], order) == []
    assert "stands below" in order_faults(order[0], [order[1]], order)[0]
    assert "no chapter" in order_faults(order[0], ["portfolio_ml.b.three"], order)[0]
    assert "no chapter" in order_faults(order[0], ["portfolio_ml"], order)[0]
    assert "no chapter" in order_faults("portfolio_ml.b.three", [], order)[0]
    path = tmp_path / "portfolio_ml" / "a" / "two.py"
    path.parent.mkdir(parents=True)
    path.write_text("import numpy as np\nfrom .one import f\nfrom ..b.three import g\n\ndef h():\n    from portfolio_ml.c.four import i\n")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert imports(path) == ["numpy", "portfolio_ml.a.one", "portfolio_ml.b.three", "portfolio_ml.c.four"]
    assert imports(path, top_only=True) == ["numpy", "portfolio_ml.a.one", "portfolio_ml.b.three"]


def test_a_door_opens_only_when_asked():
    "A door leads to a later room from inside a function; at the top of a module it is a fault like any other, and so is any other way back."
    (own, module), order = next(iter(DOORS)), ["portfolio_ml.backtest.record", "portfolio_ml.a.two", "portfolio_ml.backtest.report"]
    assert order_faults(own, [module], order) == []
    assert "stands below" in order_faults(own, [module], order, at_top=[module])[0]
    assert "stands below" in order_faults(order[1], [module], order)[0]
    assert "no chapter" in order_faults(own, [module], order[:2])[0]
    for own, module in DOORS:  # each is used, and nothing is imported before it is
        path = ROOT / Path(*own.split(".")).with_suffix(".py")
        assert module in imports(path) and module not in imports(path, top_only=True)


@EACH_MODULE
def test_no_authoring_tool_in_exported_code(path):
    "Neither nbdev nor Jupyter is needed by whoever installs the package."
    used = {m.split(".")[0] for m in imports(path)} & AUTHORING
    assert used <= {"IPython"}, f"{path.name} imports {used}"
    assert not {m.split(".")[0] for m in imports(path, top_only=True)} & AUTHORING


@EACH_MODULE
def test_heavy_libraries_are_imported_where_they_are_used(path):
    "Plotting, solvers and other people's optimisers are imported inside the functions that need them."
    used = {m.split(".")[0] for m in imports(path, top_only=True)} & HEAVY
    assert not used, f"{path.name} imports {used} at its top"


@EACH_MODULE
def test_what_is_imported_can_be_installed(path):
    "Everything that a module imports is in the standard library or in settings.ini."
    config = ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    requirements = " ".join(v for k, v in config["DEFAULT"].items() if k.endswith("requirements")).lower().replace("_", "-")
    distribution = {"sklearn": "scikit-learn", "pypfopt": "pyportfolioopt", "riskfolio": "riskfolio-lib", "IPython": "jupyterlab",
                    "matplotlib_inline": "jupyterlab", "cycler": "matplotlib", "joblib": "scikit-learn", "dateutil": "pandas"}
    top = {m.split(".")[0] for m in imports(path)} - set(sys.stdlib_module_names) - {"portfolio_ml"} - guarded(path)
    lacking = {m for m in top if distribution.get(m, m).lower().replace("_", "-") not in requirements}
    assert not lacking, f"{path.name} imports {lacking}, which settings.ini does not require"

