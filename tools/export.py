"""Export every chapter to its module, or check that this has been done.

nbdev writes into a scratch copy of the project, and only the files that differ are then moved into place, each at once:
a kill half-way leaves the package as it was, and a module that has not changed keeps its date.
"""

import argparse
import difflib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.rerun import ROOT, chapters, write_atomically

PACKAGE = "portfolio_ml"
EXPORT = "from nbdev.doclinks import nbdev_export; nbdev_export()"


def modules(root: Path) -> dict[str, str]:
    "Read every module of the package, path to text."
    folder = root / PACKAGE
    return {p.relative_to(root).as_posix(): p.read_text(encoding="utf-8") for p in sorted(folder.rglob("*.py"))}


def exported(root: Path = ROOT) -> dict[str, str]:
    "Export the chapters in a scratch folder and read what nbdev wrote, path to text."
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / root.name
        (copy / PACKAGE).mkdir(parents=True)
        for path in [root / "settings.ini", root / PACKAGE / "__init__.py", *chapters(root=root)]:
            target = copy / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        env = {k: v for k, v in os.environ.items() if k != "IN_TEST"}
        run = subprocess.run([sys.executable, "-c", EXPORT], cwd=copy, env=env, capture_output=True, text=True)
        if run.returncode:
            raise RuntimeError(f"nbdev_export failed:\n{run.stdout}{run.stderr}")
        return modules(copy)


def differences(root: Path = ROOT) -> dict[str, str | None]:
    "Compare the package with a fresh export: files that differ, with the text they should have; None: no chapter has it."
    fresh, now = exported(root), modules(root)
    changed = {name: text for name, text in fresh.items() if now.get(name) != text}
    return changed | {name: None for name in now if name not in fresh}


def show(name: str, text: str | None, root: Path = ROOT) -> str:
    "Show how a module differs from what its chapter exports."
    if text is None:
        return f"{name} is exported by no chapter: delete it, or give it one"
    path = root / name
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = list(difflib.unified_diff(old, text.splitlines(), f"{name} (now)", f"{name} (exported)", lineterm="", n=1))
    return "\n".join(lines[:40])


def main() -> int:
    "Export, or only check."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the package is out of step")
    args = parser.parse_args()
    changed = differences()
    for name, text in changed.items():
        if args.check or text is None:
            print(show(name, text))
        else:
            (ROOT / name).parent.mkdir(exist_ok=True)
            write_atomically(ROOT / name, text)
            print(f"exported {name}")
    if not changed:
        print(f"{len(chapters())} chapters: the package is in step")
    return int(args.check and bool(changed))


if __name__ == "__main__":
    raise SystemExit(main())
