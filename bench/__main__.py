"Run the comparisons: `python -m bench`, or `python -m bench walk_forward` for one; ratios as measured, one thread."

import argparse
import importlib
import os
import platform
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

os.environ.update({f"{k}_NUM_THREADS": "1" for k in ("OMP", "OPENBLAS", "MKL")} | {"TQDM_DISABLE": "1"})


def main() -> int:
    "Read the command line, measure, print."
    here = Path(__file__).parent
    known = sorted(p.stem for p in here.glob("*.py") if p.stem not in ("__init__", "__main__", "harness"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*known, []], help=f"which: {', '.join(known)}; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds after one warm-up")
    args = parser.parse_args()
    from bench.harness import measure, table

    warnings.filterwarnings("ignore")
    slow = []
    for name in args.names or known:
        module = importlib.import_module(f"bench.{name}")
        print(f"\n## {name}\n{module.__doc__}\n", flush=True)
        rows = [measure(case, args.rounds) for case in module.cases()]
        slow += [r["case"] for r in rows if r.get("target") and r["ratio"] < r["target"]]
        print(table(rows))
        for note in getattr(module, "notes", list)():
            print(f"\n{note}")
    versions = ", ".join(f"{p} {version(p)}" for p in ("numpy", "pandas", "scikit-learn", "skfolio"))
    print(f"\nMedians of {args.rounds} rounds, the two sides in turn, one thread; Python {platform.python_version()}, {versions}; {platform.machine()}, {os.cpu_count()} cores.")
    if slow:
        print(f"Below target: {'; '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())
