"Build the site into `_site`, without Quarto: `python tools/build_site.py`."

import argparse
import sys
from pathlib import Path

from site_builder.build import build
from site_builder.project import SiteError

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    "Read the command line, build, and say what is wrong."
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder with _quarto.yml")
    parser.add_argument("--partial", action="store_true", help="leave out pages of the sidebar that nobody has written yet")
    args = parser.parse_args()
    try:
        build(args.root, args.partial)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
