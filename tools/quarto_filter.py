"Quarto's notebook filter: a notebook as JSON comes in, nbdev's processors run, the notebook goes out."

import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # Quarto runs this file as a script


def page_path() -> str:
    "Find the notebook's path from the root, which Quarto gives in the environment."
    path = Path(os.environ.get("QUARTO_DOCUMENT_PATH", "."), os.environ.get("QUARTO_DOCUMENT_FILE", "notebook.ipynb"))
    try:
        return path.resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return path.name


def main() -> int:
    "Filter one notebook; complain on stderr, never fail Quarto's build of the other pages."
    from tools.site_builder.notebooks import process
    from tools.site_builder.project import Problems, Project

    problems = Problems()
    nb = process(json.load(sys.stdin), page_path(), Project(ROOT), problems)
    for page, text in problems.found:
        print(f"WARNING {page}: {text}", file=sys.stderr)
    json.dump(nb, sys.stdout, ensure_ascii=False)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
