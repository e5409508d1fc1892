"Markdown copies of the pages for language models and other readers of plain text, and `llms.txt`, their index."

import re
from pathlib import Path, PurePosixPath

from bs4 import BeautifulSoup

from .project import Project
from .tokens import Tokens

WRAPPER = re.compile(r"^[ \t]*</?(?:div|details|summary)\b[^>\n]*>(?:[^<\n]*</(?:summary|div)>)?[ \t]*$\n?", re.M)
ATTRIBUTES = re.compile(r"(?<=[\])\w`.?!])[ \t]*\{[#.][^{}\n]*\}")
HTML_BLOCK = re.compile(r"^[ \t]*<(div|figure|table)\b[^\n]*?<table.*?</table>.*?</\1>", re.M | re.S)
FENCED = re.compile(r"(^`{3,}[^\n]*\n.*?^`{3,}[ \t]*$)", re.M | re.S)


def pipe_table(
    html: str,  # a block of HTML with one table or more
) -> str:
    "Write HTML tables as Markdown, each with its caption above."
    out = []
    for table in BeautifulSoup(html, "html.parser").find_all("table"):
        figure = table.find_parent("figure")
        caption = (figure.find("figcaption") if figure else None) or table.find("caption")
        rows = [[" ".join(c.get_text(" ").split()).replace("|", "\\|") for c in r.find_all(["th", "td"])] for r in table.find_all("tr")]
        width = max((len(r) for r in rows), default=0)
        rows = [[""] * (width - len(r)) + r for r in rows]
        lines = [f"| {' | '.join(r)} |" for r in rows]
        lines.insert(1, "|" + "---|" * width)
        out.append((" ".join(caption.get_text().split()) + "\n\n" if caption else "") + "\n".join(lines))
    return "\n\n".join(out)


def plain_copy(
    text: str,  # a Markdown copy as smalldocs writes it
) -> str:
    "Make a copy plain: no wrappers, no attributes, tables as Markdown; code stays as it is."
    parts = []
    for k, part in enumerate(FENCED.split(text)):
        if k % 2:
            parts.append(re.sub(r"^(`{3,})\{\.(\w+)[^}\n]*\}", r"\1\2", part))
        else:
            parts.append(ATTRIBUTES.sub("", WRAPPER.sub("", HTML_BLOCK.sub(lambda m: pipe_table(m[0]), part))))
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).strip() + "\n"


def write_copies(
    project: Project,  # the handbook
    out: Path,  # the built site
    tokens: Tokens,  # the site's stand-ins
    fronts: dict[str, dict],  # the front matter of each page
) -> None:
    "Finish the Markdown copies, and write `llms.txt` in reading order, with what each chapter establishes."
    lines = [f"# {project.config['website']['title']}", "", f"> {project.config['website'].get('description', '')}", "", "## Chapters", ""]
    for page in project.pages:
        copy = PurePosixPath(page).with_suffix(".llms.md").as_posix()
        if not (out / copy).is_file():
            continue
        text = tokens.put((out / copy).read_text(encoding="utf-8"), "markdown")
        (out / copy).write_text(plain_copy(text), encoding="utf-8")
        front = fronts.get(page, {})
        claim = f": {front['description']}" if front.get("description") else ""
        lines.append(f"- [{front.get('title', copy)}]({copy}){claim}")
    (out / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
