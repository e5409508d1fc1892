"""The public symbols of the package: functions and classes of nbdev's index that stand in the `__all__` of their module."""

import ast

from portfolio_ml._modidx import d as INDEX
from tools.rerun import ROOT

MODULES = sorted(INDEX["syms"])


def public_names(module: str) -> list[str]:
    "Read `__all__` of a module without importing it."
    path = ROOT / (module.replace(".", "/") + ".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return ast.literal_eval(node.value)
    return []


def public_symbols() -> dict[tuple[str, str], str]:
    "List the public functions and classes, module and name, with the address of their documentation."
    found = {}
    for module in MODULES:
        names = public_names(module)
        found |= {(module, n): INDEX["syms"][module][f"{module}.{n}"][0] for n in names if f"{module}.{n}" in INDEX["syms"][module]}
    return found
