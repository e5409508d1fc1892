"""Importing the package is cheap, and every exported symbol can be had from the top, by name, when it is asked for."""

import importlib
import inspect
import json
import subprocess
import sys
from collections import Counter

import pytest
from symbols import MODULES, public_symbols

import portfolio_ml

PUBLIC = list(public_symbols())
HEAVY = ("pandas", "numpy", "torch", "cvxpy", "matplotlib", "sklearn", "scipy", "skfolio", "nbdev", "fastcore", "IPython")
BUDGET = 0.3  # seconds
IMPORT = """
import json, sys, time
start = time.perf_counter()
import portfolio_ml
print(json.dumps([time.perf_counter() - start, sorted(m for m in sys.modules if "." not in m)]))
"""


def fresh_import():
    "Import the package in a new process: seconds, and the modules that came with it."
    run = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_import_is_cheap():
    "The import takes less than 0.3 s and pulls in neither pandas nor anything heavier; the best of five runs counts."
    runs = [fresh_import() for _ in range(5)]
    assert not set(HEAVY) & set(runs[0][1]), "import portfolio_ml pulls in something heavy"
    assert min(seconds for seconds, _ in runs) < BUDGET


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=lambda x: x.removeprefix("portfolio_ml."))
def test_every_symbol_can_be_had_from_the_top_and_has_a_docstring(module, name):
    "`from portfolio_ml import name` gives the object of the module, and help() says what it is."
    thing = getattr(importlib.import_module(module), name)
    assert getattr(portfolio_ml, name) is thing
    assert name in dir(portfolio_ml)
    assert inspect.getdoc(thing), f"{module}.{name} has no docstring"


def test_no_name_means_two_things():
    "No two rooms export the same name: from the top one of them could not be reached."
    twice = [name for name, count in Counter(name for _, name in PUBLIC).items() if count > 1]
    assert not twice, f"exported by two modules: {twice}"


@pytest.mark.parametrize("module", MODULES, ids=lambda x: x.removeprefix("portfolio_ml."))
def test_all_is_the_public_face(module):
    "`__all__` lists what is there, nothing private, and the chapter's claim is the module's docstring."
    loaded = importlib.import_module(module)
    assert all(hasattr(loaded, name) and not name.startswith("_") for name in loaded.__all__)
    assert loaded.__doc__, f"{module}: the chapter's claim becomes the module's docstring"


def test_unknown_names_are_refused():
    "An attribute that no room exports is an AttributeError that names it."
    with pytest.raises(AttributeError, match="no_such_thing"):
        portfolio_ml.no_such_thing  # noqa: B018
    with pytest.raises(ImportError):
        from portfolio_ml import no_such_thing  # noqa: F401
    assert not hasattr(portfolio_ml, "_private")
    assert portfolio_ml.__version__
