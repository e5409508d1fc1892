"Build the site into `_site`, without Quarto: `python tools/build_site.py`."

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # so that it runs as a script too



def main() -> int:
    "Read the command line, build, and say what is wrong."
    from tools.site_builder.build import build
    from tools.site_builder.project import SiteError

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder with _quarto.yml")
    parser.add_argument("--partial", action="store_true", help="leave out pages of the sidebar that nobody has written yet")
    parser.add_argument("--draft", action="store_true", help="publish in spite of problems, to look at pages being written")
    args = parser.parse_args()
    try:
        build(args.root, args.partial or args.draft, draft=args.draft)
    except SiteError as error:
        print(error, "" if args.draft else "The old site is left as it was.", sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
