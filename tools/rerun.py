"""Re-execute chapters in clean kernels, two at a time, clean them, and record in each what it was run with.

`python tools/rerun.py measure/` runs the chapters whose path contains `measure/`; no argument runs them all. The
chapters that took longest the last time start first. A chapter that fails keeps its old outputs, and the cell that
failed is printed.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "matplotlib")
ONE_THREAD = {f"{k}_NUM_THREADS": "1" for k in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")}
KERNEL = {"display_name": "python3", "language": "python", "name": "python3"}


def chapters(patterns: list[str] | None = None, root: Path = ROOT) -> list[Path]:
    "List the notebooks whose path contains one of the patterns; all of them when there are none."
    found = sorted((root / "nbs").rglob("*.ipynb"))
    found = [p for p in found if not any(s.startswith((".", "_")) for s in p.relative_to(root).parts)]
    return [p for p in found if not patterns or any(s in p.relative_to(root).as_posix() for s in patterns)]


def read(path: Path) -> dict:
    "Read a notebook as plain JSON."
    return json.loads(Path(path).read_text(encoding="utf-8"))


def source_hash(nb: dict) -> str:
    "Hash what a chapter says and computes: kind and source of every cell, not the outputs."
    cells = [[c["cell_type"], "".join(c["source"])] for c in nb["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def data_used(nb: dict, root: Path = ROOT) -> dict[str, str]:
    "List the bundled data sets that a chapter's code names, with the hash that the catalogue gives for each."
    catalog = root / "data" / "catalog.json"
    if not catalog.exists():
        return {}
    hashes = {card["name"]: card["sha256"][:16] for card in read(catalog)["datasets"]}
    code = "\n".join("".join(c["source"]) for c in nb["cells"] if c["cell_type"] == "code")
    if not re.search(r"\bload_\w+\(", code):
        return {}
    return {name: short for name, short in hashes.items() if re.search(rf"[\"']{re.escape(name)}[\"']", code)}


def provenance(nb: dict) -> dict:
    "Read what a chapter was last run with; empty when it never was."
    return nb["metadata"].get("portfolio_ml", {})


def write_atomically(path: Path, text: str) -> None:
    "Write a file so that a kill half-way leaves the old one."
    tmp = path.with_name(f".{path.name}.tmp")
    tmp.write_text(text, encoding="utf-8")
    os.replace(tmp, path)


def as_text(nb) -> str:
    "Write a notebook the way git likes it: sources and texts line by line, a drawing in one line."
    import nbformat

    plain = json.loads(nbformat.writes(nb, version=4))
    for output in (o for c in plain["cells"] for o in c.get("outputs", ())):
        svg = output.get("data", {}).get("image/svg+xml")
        if isinstance(svg, list):
            output["data"]["image/svg+xml"] = "".join(svg)
    return json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def execute(path: Path, timeout: int) -> float:
    "Run one notebook from a clean kernel and store its outputs, cleaned, with its provenance; return the seconds it took."
    import nbformat
    from nbclient import NotebookClient
    from nbdev.clean import clean_nb

    nb = nbformat.read(path, as_version=4)
    before, start = source_hash(nb), time.perf_counter()
    NotebookClient(nb, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    seconds = time.perf_counter() - start
    nb.metadata = nbformat.from_dict({
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
        "portfolio_ml": {
            "executed": date.today().isoformat(),
            "seconds": round(seconds, 1),
            "python": ".".join(map(str, sys.version_info[:3])),
            "packages": {p: version(p) for p in PACKAGES},
            "data": data_used(nb),
            "source": source_hash(nb),
        },
    })
    clean_nb(nb, allowed_metadata_keys=["portfolio_ml"], allowed_cell_metadata_keys=["tags"])
    if source_hash(read(path)) != before:
        raise RuntimeError("the chapter was edited while it ran: its new text is kept, run it again")
    write_atomically(path, as_text(nb))
    return seconds


def last_seconds(path: Path) -> float:
    "Say how long a chapter took when it was last run."
    return provenance(read(path)).get("seconds", 0.0)


def rerun(paths: list[Path], jobs: int, timeout: int) -> list[Path]:
    "Execute chapters, the long ones first, saying how far it has got; return those that failed."
    failed, start = [], time.perf_counter()
    with ThreadPoolExecutor(jobs) as pool:
        runs = {pool.submit(execute, p, timeout): p for p in sorted(paths, key=last_seconds, reverse=True)}
        for n, run in enumerate(as_completed(runs), 1):
            name, error = runs[run].relative_to(ROOT), run.exception()
            at = f"[{n}/{len(runs)}, {time.perf_counter() - start:.0f} s]"
            if error:
                failed.append(name)
                print(f"{at} {name} FAILED\n{error}", flush=True)
            else:
                print(f"{at} {name} {run.result():.1f} s", flush=True)
    return failed


def main() -> int:
    "Read the command line, re-execute, and say what came of it."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", help="parts of a chapter's path, such as `measure/`; none: every chapter")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="kernels at a time")
    parser.add_argument("--timeout", type=int, default=300, help="seconds a cell may take")
    args = parser.parse_args()
    os.environ.update({"TQDM_DISABLE": "1", "PYTHONHASHSEED": "0", **ONE_THREAD})
    os.environ.pop("MPLBACKEND", None)
    paths, start = chapters(args.patterns), time.perf_counter()
    failed = rerun(paths, args.jobs, args.timeout)
    done = f"{len(paths) - len(failed)} chapters re-executed in {time.perf_counter() - start:.0f} s"
    print(f"{done}; failed: {', '.join(map(str, failed))}" if failed else done)
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    raise SystemExit(main())
