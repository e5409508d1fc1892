"""Write README.md from the home chapter: the cells marked for it, in order, in the Markdown that a code host shows,
below the chapter's title and claim.

A cell is marked by the tag `readme`, by a first line `<!-- readme -->` (prose) or by `#| readme: true` (code). Of a
marked code cell the stored drawing is taken, as a file below `assets/`, with its alternative text. Links are made to
work from the root of the repository and must lead somewhere; callouts and classes are written plainly; citations go.
"""

import argparse
import posixpath
import re
import sys
from pathlib import Path

from tools.rerun import ROOT, read, write_atomically

HOME = "nbs/index.ipynb"
NOTE = "<!-- Written by `make readme` from nbs/index.ipynb: edit there. -->"
MARK = re.compile(r"^(?:<!-- *readme *-->|#\| *readme: *true) *\n?", re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)(\{[^}]*\})?")


def marked(cell: dict) -> bool:
    "Tell whether a cell goes into the README."
    source = "".join(cell["source"])
    return "readme" in cell["metadata"].get("tags", ()) or bool(MARK.search(source))


def link(match: re.Match, root: Path, home: str) -> str:
    "Make one link work from the root; a link into the page itself becomes its text."
    image, text, target, _ = match.groups()
    text = LINK.sub(lambda m: link(m, root, home), text)
    ours = re.match(r"https://github\.com/portfolio-ml/portfolio_ml/(?:blob|tree)/main/(.+)", target)
    if re.match(r"\w+:", target) and not ours:
        return f"{image}[{text}]({target})"
    path, _, anchor = (ours[1] if ours else target).partition("#")
    if not path:
        return text
    path = path if ours else posixpath.normpath(posixpath.join(posixpath.dirname(home), path))
    if not (root / path).exists():
        raise ValueError(f"README: [{text}]({target}) leads to {path}, which does not exist")
    return f"{image}[{text}]({path}{'#' + anchor if anchor and not path.endswith('.ipynb') else ''})"


def plain(source: str, root: Path = ROOT, home: str = HOME) -> str:
    "Turn a cell's prose into plain Markdown."
    parts = re.split(r"(^```.*?^```[^\n]*$)", MARK.sub("", source), flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else plain_prose(part, root, home) for part in parts)


def plain_prose(text: str, root: Path, home: str) -> str:
    "Turn prose without code blocks into plain Markdown."
    if found := re.search(r"(?<![\w@])@(fig|tbl|eq|sec)-[\w-]+", text):
        raise ValueError(f"README: the cross-reference {found[0]} has no meaning outside the site")
    text = re.sub(r'^:::+ *\{\.callout[^}]*title="([^"]*)"[^}]*\} *$', r"**\1**\n", text, flags=re.MULTILINE)
    text = re.sub(r"^:::+.*\n?", "", text, flags=re.MULTILINE)
    text = re.sub(r"</?(?:div|span|section|figure|p)\b[^>]*>", "", text)
    text = re.sub(r" *\[-?@[^\]]+\]", "", text)
    text = re.sub(r"\[([^\[\]]*)\]\{[^}]*\}", r"\1", text)
    text = re.sub(r"^(#+ .*?) *\{[^}]*\} *$", r"\1", text, flags=re.MULTILINE)
    return LINK.sub(lambda m: link(m, root, home), text)


def drawing(cell: dict) -> tuple[str, str, str]:
    "Take the stored drawing of a code cell: file name, SVG, alternative text."
    source = "".join(cell["source"])
    options = dict(re.findall(r'^#\| *([\w-]+): *"?(.*?)"? *$', source, flags=re.MULTILINE))
    drawings = [o["data"]["image/svg+xml"] for o in cell["outputs"] if "image/svg+xml" in o.get("data", {})]
    if not drawings or "label" not in options or "fig-alt" not in options:
        raise ValueError("README: a marked code cell needs a stored SVG figure with label and fig-alt")
    return f"assets/{options['label']}.svg", "".join(drawings[0]), options["fig-alt"]


def head(nb: dict) -> list[str]:
    "Take the title and the claim of the home chapter, unless its first cell is marked and comes anyway."
    first = nb["cells"][0] if nb["cells"] else None
    if first is None or marked(first) or first["cell_type"] != "markdown":
        return []
    found = re.match(r"# .+\n+(?:> .+)?", "".join(first["source"]))
    return [found[0].strip()] if found else []


def build(nb: dict, root: Path = ROOT, home: str = HOME) -> dict[str, str]:
    "Build the README and its drawings, path to text, from the home chapter."
    texts, files = head(nb), {}
    if not any(map(marked, nb["cells"])):
        raise ValueError(f"README: no cell of {home} is marked for it")
    for cell in filter(marked, nb["cells"]):
        if cell["cell_type"] == "markdown":
            texts.append(plain("".join(cell["source"]), root, home).strip())
        else:
            path, svg, alt = drawing(cell)
            files[path] = svg
            texts.append(f"![{alt}]({path})")
    body = re.sub(r"\n{3,}", "\n\n", "\n\n".join([NOTE, *texts]))
    return {"README.md": body.rstrip() + "\n", **files}


def stale(files: dict[str, str], root: Path = ROOT) -> list[str]:
    "List the files that are missing or differ from what they should be."
    return [n for n, text in files.items() if not (root / n).exists() or (root / n).read_text(encoding="utf-8") != text]


def main() -> int:
    "Write the README, or only check it."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the README is out of step")
    args = parser.parse_args()
    if not (ROOT / HOME).exists():
        sys.exit(f"There is no home chapter yet: {HOME}")
    files = build(read(ROOT / HOME))
    changed = stale(files)
    for name in changed:
        if not args.check:
            (ROOT / name).parent.mkdir(exist_ok=True)
            write_atomically(ROOT / name, files[name])
        print(f"{name} {'is out of step with ' + HOME if args.check else 'written'}")
    if not changed:
        print("README.md is in step")
    return int(args.check and bool(changed))


if __name__ == "__main__":
    raise SystemExit(main())
