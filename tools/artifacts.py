"""Compute stored results again: the chapters that recall one are executed with permission to compute, then as they are.

`python -m tools.artifacts` computes all of them, `python -m tools.artifacts --stale` those whose parameters, code or
data have changed; parts of a chapter's path choose some. The first pass may take long; the second gives each chapter
the outputs and the run time of a reader.
"""

import argparse
import ast
import os
from pathlib import Path

from tools.rerun import ONE_THREAD, chapters, read, rerun


def recalled(path: Path) -> list[str]:
    "List the results that a chapter recalls from the common folder, by the names it gives."
    names = []
    for cell in read(path)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or "recall(" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "recall" and not any(k.arg == "folder" for k in node.keywords):
                first = node.args[0] if node.args else None
                if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                    raise ValueError(f"{path.name}: recall is called without a name that can be read; write it out")
                names.append(first.value)
    return names


def main() -> int:
    "Read the command line, compute, execute again."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", help="parts of a chapter's path; none: every chapter that recalls a result")
    parser.add_argument("--stale", action="store_true", help="only results whose parameters, code or data have changed")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="kernels at a time")
    parser.add_argument("--timeout", type=int, default=7200, help="seconds a cell may take")
    args = parser.parse_args()
    paths = [p for p in chapters(args.patterns) if recalled(p)]
    os.environ.update({"TQDM_DISABLE": "1", "PYTHONHASHSEED": "0", **ONE_THREAD})
    os.environ.pop("MPLBACKEND", None)
    for told in ("stale" if args.stale else "1", ""):
        os.environ["PORTFOLIO_ML_RECOMPUTE"] = told
        if failed := rerun(paths, args.jobs, args.timeout):
            print(f"failed: {', '.join(map(str, failed))}")
            return 1
    print(f"{sum(map(len, map(recalled, paths)))} stored results of {len(paths)} chapters")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
