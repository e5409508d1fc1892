"Re-execute chapters in clean kernels, two at a time, clean them, and record in each what it was run with."

import argparse
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib")
ONE_THREAD = {f"{k}_NUM_THREADS": "1" for k in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")}


def chapters(patterns: list[str]) -> list[Path]:
    "List the notebooks whose path contains one of the patterns; all of them when there are none."
    found = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if not any(s.startswith((".", "_")) for s in p.relative_to(ROOT).parts))
    return [p for p in found if not patterns or any(s in p.relative_to(ROOT).as_posix() for s in patterns)]


def source_hash(nb: dict) -> str:
    "Hash what a chapter says and computes: kind and source of every cell, not the outputs."
    cells = [[c["cell_type"], "".join(c["source"])] for c in nb["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def write_atomically(path: Path, text: str) -> None:
    "Write a file so that a kill half-way leaves the old one."
    tmp = path.with_name(f".{path.name}.tmp")
    tmp.write_text(text, encoding="utf-8")
    os.replace(tmp, path)


def execute(path: Path, timeout: int) -> float:
    "Run one notebook from a clean kernel and store its outputs, cleaned, with its provenance; return the seconds it took."
    import nbformat
    from nbclient import NotebookClient
    from nbdev.clean import clean_nb

    nb = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    NotebookClient(nb, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    seconds = time.perf_counter() - start
    nb.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "python3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "portfolio_ml": {
            "executed": date.today().isoformat(),
            "seconds": round(seconds, 1),
            "python": ".".join(map(str, sys.version_info[:3])),
            "packages": {p: version(p) for p in PACKAGES},
            "source": source_hash(nb),
        },
    })
    clean_nb(nb, allowed_metadata_keys=["portfolio_ml"], allowed_cell_metadata_keys=["tags"])
    write_atomically(path, json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patterns", nargs="*", help="parts of a chapter's path, such as `measure/`; none: every chapter")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="kernels at a time")
    parser.add_argument("--timeout", type=int, default=300, help="seconds a cell may take")
    args = parser.parse_args()
    os.environ.update({"TQDM_DISABLE": "1", "PYTHONHASHSEED": "0", **ONE_THREAD})
    os.environ.pop("MPLBACKEND", None)
    paths, failed, start = chapters(args.patterns), [], time.perf_counter()
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = {pool.submit(execute, p, args.timeout): p for p in paths}
        for n, run in enumerate(as_completed(runs), 1):
            name = runs[run].relative_to(ROOT)
            error = run.exception()
            if error:
                failed.append(name)
                print(f"[{n}/{len(runs)}] {name} FAILED\n{error}", flush=True)
            else:
                print(f"[{n}/{len(runs)}] {name} {run.result():.1f} s", flush=True)
    print(f"{len(paths) - len(failed)} chapters re-executed in {time.perf_counter() - start:.0f} s" + (f"; {len(failed)} failed" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
