__version__ = "0.1.0"

# Every exported symbol can be imported from the top: the index that nbdev writes says which module holds it, and the
# module is imported only when the name is asked for, so `import portfolio_ml` itself costs next to nothing.
from importlib import import_module as _import_module


def _index():
    "Map each public symbol to the module that defines it, from nbdev's index."
    from ._modidx import d

    return {
        name.rpartition(".")[2]: module
        for module, symbols in d["syms"].items()
        for name in symbols
        if name.rpartition(".")[0] == module and not name.rpartition(".")[2].startswith("_")
    }


def __getattr__(name):
    if not name.startswith("_"):
        module = _index().get(name)
        if module is not None:
            return getattr(_import_module(module), name)
    raise AttributeError(f"module 'portfolio_ml' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_index()])
