"""How the tests run: chapters compared strictly with their stored outputs, the long work first, the same environment everywhere."""

import os
import re
from functools import partialmethod
from pathlib import Path

ROOT = Path(__file__).resolve().parent
CACHE = ROOT / ".venv" / "cache"
os.environ.update({f"{k}_NUM_THREADS": "1" for k in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")})
os.environ.update({"TQDM_DISABLE": "1", "DO_NOT_TRACK": "true", "HF_HUB_OFFLINE": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"})
os.environ.pop("MPLBACKEND", None)  # kernels must draw inline
if CACHE.parent.is_dir():
    os.environ.setdefault("MPLCONFIGDIR", str(CACHE / "matplotlib"))
    os.environ.setdefault("IPYTHONDIR", str(CACHE / "ipython"))
    os.environ.setdefault("JUPYTER_RUNTIME_DIR", str(CACHE / "jupyter"))

try:  # random tests draw the same examples each time; HYPOTHESIS_PROFILE=explore draws new ones
    from hypothesis import settings

    settings.register_profile("steady", derandomize=True)
    settings.register_profile("explore", max_examples=1000)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
except ImportError:
    pass

OPTION = re.compile(r"^\s*#\s*\|\s*([\w-]+)\s*:?\s*(.*)$")
LONG_NUMBER = re.compile(r"(\d\.\d{3})\d+")
CLIP = re.compile(r"\bp[0-9a-f]{10}\b")  # matplotlib names a clipping path by a hash of its last bits
UNTAGGED_COST = 1.0
KERNEL_START = 3.0


def cell_options(source: str) -> dict[str, str]:
    "Read the `#| name: value` lines at the head of a code cell."
    found = {}
    for line in source.splitlines():
        match = OPTION.match(line)
        if not match:
            break
        found[match[1]] = match[2].strip()
    return found


def skip_flags() -> set[str]:
    "Read the flags of cells that no test runs, such as `notest`, from settings.ini."
    line = re.search(r"^tst_flags\s*=\s*(.*)$", (ROOT / "settings.ini").read_text(encoding="utf-8"), re.MULTILINE)
    return set(line[1].split()) if line else set()


def prepare_cell(item, skipped: set[str]) -> None:
    "Tell nbval how to treat a cell: compared unless it says otherwise, skipped where nbdev skips it too."
    options, source = cell_options(item.cell.source), item.cell.source
    if item.cell.execution_count is None:
        item.cell.execution_count = 0  # nbdev_clean removes the counts, and nbval would take the cell for never run
    if options.get("eval", "").lower() == "false" or skipped & options.keys():
        item.options["skip"] = True
    if "nbval_ignore" in options or "show_doc(" in source:
        item.options["check"] = False


def file_cost(item) -> float:
    "Guess how many seconds an item's file takes: a chapter's provenance, or the COST that a test module states."
    nb = getattr(item.parent, "nb", None)
    if nb is not None:
        return nb.metadata.get("portfolio_ml", {}).get("seconds", 0.0) + KERNEL_START
    return float(getattr(getattr(item, "module", None), "COST", UNTAGGED_COST))


def pytest_collection_modifyitems(items):
    "Prepare the cells of chapters, and put the files that take long first, so that no worker is left with one at the end."
    skipped, costs = skip_flags(), {}
    for item in items:
        if hasattr(item, "cell"):
            prepare_cell(item, skipped)
        costs.setdefault(item.path, file_cost(item))
    items.sort(key=lambda item: (-costs[item.path], str(item.path)))  # stable: the order within a file stays


def sanitize(self, text, plain):
    "Clean an output before it is compared; coordinates of drawings count to a thousandth of a point, beyond which processors differ."
    text = plain(self, text)
    if not isinstance(text, str) or "<svg" not in text:
        return text
    names = {name: f"clip{k}" for k, name in enumerate(dict.fromkeys(CLIP.findall(text)))}
    return LONG_NUMBER.sub(r"\1", CLIP.sub(lambda m: names[m[0]], text))


def execute_cell_input(self, cell_input, allow_stdin=None):
    "Run a cell as a notebook does, with history: without it a semicolon at the end does not silence the last expression."
    return self.kc.execute(cell_input, store_history=True, allow_stdin=allow_stdin, stop_on_error=False)


def pytest_configure(config):
    "Mend two things in nbval."
    try:
        from nbval.kernel import RunningKernel
        from nbval.plugin import IPyNbCell
    except ImportError:
        return
    IPyNbCell.sanitize = partialmethod(sanitize, plain=IPyNbCell.sanitize)
    RunningKernel.execute_cell_input = execute_cell_input


def pytest_assertrepr_compare(op, left, right):
    "Show where two long texts part, rather than the whole of them: a figure is thousands of lines."
    if op != "==" or not (isinstance(left, str) and isinstance(right, str)) or max(len(left), len(right)) < 5000:
        return None
    at = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    return [
        f"texts of {len(left)} and {len(right)} characters part at character {at}",
        f"one:   ...{left[max(0, at - 60) : at + 60]!r}",
        f"other: ...{right[max(0, at - 60) : at + 60]!r}",
    ]
