"Make a processed notebook ready for smalldocs: number its figures, tables, equations and theorems, resolve references, take out maths and citations."

import html
import json
import re

import yaml
from smalldocs.markdown import pandoc_id, render

from .outputs import clean_svg, clean_table
from .pandoc import keys
from .project import Problems
from .tokens import Tokens, Value

KINDS = {
    "fig": "Figure", "tbl": "Table", "eq": "Equation", "sec": "Section", "thm": "Theorem", "lem": "Lemma", "cor": "Corollary",
    "prp": "Proposition", "def": "Definition", "exm": "Example", "exr": "Exercise",
}  # fmt: skip
LABEL = rf"(?:{'|'.join(KINDS)})-[\w-]+"
REFERENCE = re.compile(rf"(-?)@({LABEL})$")
THEOREM = re.compile(r"^(:{3,})[ \t]*\{#((?:thm|lem|cor|prp|def|exm|exr)-[\w-]+)([^}\n]*)\}[ \t]*\n\s*(?:#+[ \t]+([^\n]*)\n\s*)?", re.M)
HEADING = re.compile(r"^(#{1,6})[ \t]+(.*?)(?:[ \t]*\{([^{}\n]*)\})?[ \t]*$", re.M)
TABLE_CAPTION = re.compile(r"^:[ \t]+(.*?)[ \t]*\{#(tbl-[\w-]+)([^}\n]*)\}[ \t]*$", re.M)
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]*)\)(?:\{([^}]*)\})?")
PICTURES = ("image/svg+xml", "image/png", "image/jpeg", "image/gif")
FENCE = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1[`~]*[ \t]*$", re.M | re.S)
# Markdown seen as a row of things to leave alone and things to replace, in order of precedence
SCAN = re.compile(
    r"""(?P<keep>^(?P<f>`{3,}|~{3,})[^\n]*\n.*?^(?P=f)[`~]*[ \t]*$   # a fenced block
    |(?<!`)(?P<t>`+)(?!`)(?:(?!\n\n).)+?(?<!`)(?P=t)(?!`)               # code
    |<!--.*?-->|\\[\\$@`]                                            # a comment, an escaped character
    |\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s"[^"]*")?\)           # where a link goes
    |<(?:https?|mailto):[^>\s]*>)
    |\$\$(?P<display>(?:(?!\n\n).)+?)\$\$(?:[ \t]*\{\#(?P<eq>eq-[\w-]+)\})?
    |\$(?P<inline>(?=\S)(?:\\.|(?!\n\n)[^$\\])+?(?<=\S))\$(?!\d)
    |(?P<group>\[[^\[\]]*?(?<![\w\\])@\w[^\[\]]*?\])(?!\()
    |(?<![\w/.@\\-])(?P<bare>-?@(?P<key>\w(?:[\w:.\#$%&+?<>~/-]*\w)?))""",
    re.M | re.S | re.X,
)


def text_of(
    cell: dict,  # a cell
) -> str:
    "Join a cell's source."
    return "".join(cell["source"])


def options_of(
    code: str,  # the source of a code cell
) -> tuple[dict, str]:
    "Read the `#|` options at the top of a code cell; the rest is its code."
    lines = code.split("\n")
    n = next((k for k, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    options = yaml.safe_load("\n".join(line[2:].strip() for line in lines[:n])) if n else {}
    return (options if isinstance(options, dict) else {}), "\n".join(lines[n:])


def with_options(
    options: dict,  # a cell's options
    code: str,  # its code
) -> str:
    "Write the options back on top of the code."
    return "".join(f"#| {k}: {json.dumps(v, ensure_ascii=False)}\n" for k, v in options.items()) + code


class PagePreparation:
    "One page on its way to smalldocs."

    def __init__(
        self,
        page: str,  # its path
        nb: dict,  # the processed notebook
        tokens: Tokens,  # the site's stand-ins
        problems: Problems,  # where to note what is wrong
    ):
        self.page, self.nb, self.tokens, self.problems = page, nb, tokens, problems
        self.labels: dict[str, tuple[str, str]] = {}  # id -> (kind, number or a section's title)
        self.cited: list[str] = []  # the keys cited on the page
        self.front: dict = {}

    # ---- labels

    def number(
        self,
        ident: str,  # a label
        title: str = "",  # a section's title
    ) -> None:
        "Give a label the next number of its kind; a section is known by its title."
        kind = ident.partition("-")[0]
        if ident in self.labels:
            self.problems.add(self.page, f"duplicate label {ident}")
        count = sum(k == kind for k, _ in self.labels.values()) + 1
        self.labels[ident] = (kind, title if kind == "sec" else str(count))

    def collect(self) -> None:
        "Number every label of the page in the order in which it stands."
        for cell in self.nb["cells"]:
            if cell["cell_type"] == "markdown":
                text = re.sub(r"`[^`\n]*\{#[^`\n]*`", "", FENCE.sub("", text_of(cell)))
                for m in re.finditer(rf"^(#{{1,6}}[^\n]*?)[ \t]*\{{[^}}\n]*#(sec-[\w-]+)|\{{#((?!sec-){LABEL})|!\[[^\]]*\]\([^)]*\)\{{[^}}]*#(fig-[\w-]+)", text, re.M):
                    self.number(m[2] or m[3] or m[4], (m[1] or "").lstrip("# "))
            elif cell["cell_type"] == "code":
                options, _ = options_of(text_of(cell))
                label = str(options.get("label", ""))
                if re.fullmatch(LABEL, label) and options.get("include") is not False:
                    self.number(label)

    def reference(
        self,
        ident: str,  # a label
        bare: bool = False,  # the number alone
    ) -> str:
        "Write a reference as a link."
        if ident not in self.labels:
            self.problems.add(self.page, f"unknown reference @{ident}")
            return f"?@{ident}"
        kind, number = self.labels[ident]
        text = f"“{number}”" if kind == "sec" else number if bare else f"{KINDS[kind]} {number}"
        return f"[{text}](#{ident}){{.quarto-xref}}"

    # ---- Markdown

    def replace(
        self,
        text: str,  # Markdown
    ) -> str:
        "Replace maths, references and citations."

        def one(m: re.Match) -> str:
            if m["keep"]:
                return m[0]
            if m["display"] is not None:
                number = self.labels[m["eq"]][1] if m["eq"] in self.labels else ""
                return self.tokens.equation(m["display"], self.page, m["eq"] or "", number)
            if m["inline"] is not None:
                return self.tokens.math(m["inline"], False, self.page)
            if m["group"]:
                return self.group(m["group"])
            if re.fullmatch(LABEL, m["key"]):
                return self.reference(m["key"], m["bare"].startswith("-"))
            return self.cite(m["bare"])

        return SCAN.sub(one, text)

    def group(
        self,
        text: str,  # `[@fig-a; @fig-b]` or `[see @key, p. 3]`
    ) -> str:
        "Replace what stands in brackets: references, or a citation."
        parts = [p.strip() for p in text[1:-1].split(";")]
        refs = [REFERENCE.match(p) for p in parts]
        if all(refs):
            return ", ".join(self.reference(r[2], bool(r[1])) for r in refs)
        return self.cite(text)

    def cite(
        self,
        text: str,  # a citation as pandoc reads it
    ) -> str:
        "Replace a citation, and remember what is cited."
        self.cited += keys(text)
        return self.tokens.citation(text, self.page)

    def inline(
        self,
        text: str,  # Markdown on one line
    ) -> str:
        "Render a caption to HTML."
        out = render(self.replace(text), {}).strip()
        return re.sub(r"^<p>(.*)</p>$", r"\1", out, flags=re.S)

    def markdown(
        self,
        text: str,  # a Markdown cell
    ) -> str:
        "Prepare a Markdown cell."
        if re.search(r"^```\s*\{?mermaid", text, re.M):
            self.problems.add(self.page, "mermaid needs the network: draw it with matplotlib or store an SVG")

        def theorem(m: re.Match) -> str:
            kind, number = self.labels[m[2]]
            named = re.search(r'name="([^"]*)"', m[3])
            title = (named[1] if named else "") or (m[4] or "")
            head = f"**{KINDS[kind]} {number}**" + (f" ({title})" if title else "") + "**.**"
            return f"{m[1]} {{#{m[2]} .theorem .theorem-{kind}}}\n{head} "

        def heading(m: re.Match) -> str:
            attrs = m[3] or ""
            if "$" in m[2] and "#" not in attrs:
                ident = pandoc_id(re.sub(r"[$\\{}]", "", m[2]))
                attrs = f"#{ident} {attrs}".strip()
            return f"{m[1]} {m[2]}" + (f" {{{attrs}}}" if attrs else "")

        def picture(m: re.Match) -> str:
            attrs = m[3] or ""
            ident = re.search(r"#(fig-[\w-]+)", attrs)
            if not m[1].strip() and "fig-alt" not in attrs and "alt=" not in attrs:
                self.problems.add(self.page, f"picture without alt text: {m[2]}")
            prefix = f"Figure {self.labels[ident[1]][1]}: " if ident and m[1].strip() else ""
            if ident and (not m[1].strip() or "fig-alt" not in attrs):
                self.problems.add(self.page, f"{ident[1]} needs a caption and a fig-alt")
            return f"![{prefix}{m[1]}]({m[2]})" + (f"{{{attrs}}}" if attrs else "")

        out = []
        last = 0
        for fence in [*FENCE.finditer(text), None]:  # fenced code stays as it is
            part = text[last : fence.start() if fence else len(text)]
            part = THEOREM.sub(theorem, part)
            part = TABLE_CAPTION.sub(lambda m: f": Table {self.labels[m[2]][1]}: {m[1]} {{#{m[2]}{m[3]}}}", part)
            part = PICTURE.sub(picture, HEADING.sub(heading, part))
            out += [part, fence[0] if fence else ""]
            last = fence.end() if fence else last
        return self.replace("".join(out))

    # ---- code cells

    def figure(
        self,
        options: dict,  # a cell's options
        outputs: list[dict],  # its outputs, changed in place
    ) -> None:
        "Check and number a figure; its SVG gets the label's id and the words for who cannot see it."
        label, caption, alt = (options.get(k) for k in ("label", "fig-cap", "fig-alt"))
        if not (isinstance(label, str) and label.startswith("fig-") and isinstance(caption, str) and caption and isinstance(alt, str) and alt):
            what = ", ".join(k for k, v in (("label: fig-…", str(label).startswith("fig-")), ("fig-cap", caption), ("fig-alt", alt)) if not v)
            self.problems.add(self.page, f"figure {label or '(no label)'} lacks {what or 'a caption or alt text of one line'}")
            return
        text = self.inline(f"Figure {self.labels[label][1]}: {caption}")
        plain = f"Figure {self.labels[label][1]}: {caption}"
        options["fig-cap"] = self.tokens.fixed(self.page, Value(text, plain, plain))
        ident = label
        for out in outputs:
            data = out.get("data", {})
            if "image/svg+xml" in data:
                data["image/svg+xml"] = clean_svg("".join(data["image/svg+xml"]), ident, alt)
                ident = f"{label}-more"
                options.pop("label", None)  # the id is on the picture now

    def table(
        self,
        options: dict,  # a cell's options
        outputs: list[dict],  # its outputs, changed in place
    ) -> None:
        "Clean the tables among the outputs, with number and caption when the cell has a label."
        label, caption = options.get("label"), options.get("tbl-cap")
        labelled = isinstance(label, str) and label.startswith("tbl-")
        if labelled and not (isinstance(caption, str) and caption):
            self.problems.add(self.page, f"table {label} lacks tbl-cap")
            caption = ""
        tables = [o for o in outputs if "<table" in "".join(o.get("data", {}).get("text/html", ""))]
        if labelled and not tables:
            self.problems.add(self.page, f"{label} holds no HTML table")
        for k, out in enumerate(tables):
            head = ""
            if k == 0 and caption:
                head = self.inline(f"Table {self.labels[label][1]}: {caption}" if labelled else caption)
                for key in ("tbl-cap", "label"):
                    options.pop(key, None)
            out["data"]["text/html"] = clean_table("".join(out["data"]["text/html"]), head, label if head and labelled else "")

    def code(
        self,
        cell: dict,  # a code cell, changed in place
    ) -> None:
        "Prepare a code cell and its stored outputs."
        options, code = options_of(text_of(cell))
        outputs = cell.get("outputs", [])
        for out in outputs:
            data = out.get("data", {})
            if out["output_type"] == "error":
                self.problems.add(self.page, f"stored error output: {out.get('ename')}: {out.get('evalue')}")
            if any("plotly" in k or "bokeh" in k for k in data):
                self.problems.add(self.page, "an interactive plot needs the network: use matplotlib")
            for kind in ("text/markdown", "text/latex"):
                if kind in data:
                    data[kind] = self.replace("".join(data[kind]))
        if options.get("include") is False:
            return
        shown = outputs if options.get("output", True) is not False else []
        if any(k in o.get("data", {}) for o in shown for k in PICTURES) and not any("text/html" in o.get("data", {}) for o in shown):
            self.figure(options, shown)
        self.table(options, shown)
        cell["source"] = with_options(options, code)

    # ---- the whole page

    def front_matter(
        self,
        cell: dict,  # the raw cell on top, changed in place
    ) -> None:
        "Prepare the texts of the front matter."
        text = text_of(cell).strip()
        if not text.startswith("---"):
            return
        self.front = yaml.safe_load(text.strip("-")) or {}
        front = {k: self.replace(v) if k in ("title", "subtitle", "description") and isinstance(v, str) else v for k, v in self.front.items()}
        for key in ("nocite", "aliases"):  # Quarto's; the builder fills the bibliography and redirects by itself
            front.pop(key, None)
        cell["source"] = f"---\n{yaml.dump(front, allow_unicode=True, sort_keys=False, width=10**6)}---\n"

    def prepare(self) -> dict:
        "Prepare the whole page; what it cites is in `cited` afterwards."
        self.collect()
        for n, cell in enumerate(self.nb["cells"]):
            if cell["cell_type"] == "raw" and n == 0:
                self.front_matter(cell)
            elif cell["cell_type"] == "markdown":
                cell["source"] = self.markdown(text_of(cell))
            elif cell["cell_type"] == "code":
                self.code(cell)
        return self.nb

    def add_bibliography(
        self,
        entries: dict[str, str],  # the whole bibliography: key -> HTML
    ) -> None:
        "Put the list of what is cited at the end of the page, or the whole bibliography where the page has a `#refs` div."
        everything = "nocite" in self.front
        wanted = [k for k in entries if everything or k in self.cited]
        if not wanted:
            return
        body = "\n".join(entries[k] for k in wanted)
        plain = "\n".join("- " + " ".join(re.sub(r"<[^>]+>", "", html.unescape(entries[k])).split()) for k in wanted)
        token = self.tokens.fixed(self.page, Value(f'<span class="references" role="list">{as_spans(body)}</span>', "", plain))
        for cell in self.nb["cells"]:
            if cell["cell_type"] == "markdown" and re.search(r"^::: \{#refs\}\s*^:::", text_of(cell), re.M):
                cell["source"] = re.sub(r"^::: \{#refs\}\s*^:::", f"::: {{#refs}}\n{token}\n:::", text_of(cell), flags=re.M)
                return
        foot = {"cell_type": "markdown", "id": "references", "metadata": {}, "source": f"## References {{#references .unnumbered}}\n\n{token}"}
        at = len(self.nb["cells"])
        if at and text_of(self.nb["cells"][-1]).startswith("::: {.provenance}"):
            at -= 1
        self.nb["cells"].insert(at, foot)


def as_spans(
    entries: str,  # pandoc's bibliography entries
) -> str:
    "Write the entries as spans, which may stand in a paragraph; the stylesheet makes them blocks."
    return entries.replace("<div", "<span").replace("</div>", "</span>")
