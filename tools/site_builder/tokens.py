"""Stand-ins for what smalldocs cannot write itself: maths, citations, captions.

The builder puts a word such as `zqm12qz` into the notebook, lets smalldocs render, and puts back the HTML; plain text
into attributes, titles and the search index; Markdown into the Markdown copies."""

import html
import re
from dataclasses import dataclass, field

TOKEN = re.compile(r"zq([a-z])(\d+)qz")
TAGS = re.compile(r"(<title>.*?</title>|<[^>]*>)", re.S)


@dataclass
class Value:
    "What a stand-in stands for."

    html: str  # for the text of a page
    plain: str  # for attributes, titles and the search index
    markdown: str  # for the Markdown copy


@dataclass
class Tokens:
    "The stand-ins of a site."

    values: dict[str, Value] = field(default_factory=dict)
    maths: dict[tuple[str, bool], str] = field(default_factory=dict)  # (TeX, display) -> stand-in
    citations: dict[str, str] = field(default_factory=dict)  # Markdown -> stand-in
    where: dict[str, str] = field(default_factory=dict)  # stand-in -> the first page that uses it
    equations: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # stand-in -> (its formula's, id, number)

    def new(
        self,
        kind: str,  # one letter
        page: str,  # the page that uses it
    ) -> str:
        "Make a new stand-in."
        name = f"zq{kind}{len(self.where)}qz"
        self.where[name] = page
        return name

    def math(
        self,
        tex: str,  # a formula
        display: bool,  # whether it stands on a line of its own
        page: str,  # the page it is on
    ) -> str:
        "Stand in for a formula; the same formula gets the same stand-in."
        key = (tex.strip(), display)
        if key not in self.maths:
            self.maths[key] = self.new("m", page)
        return self.maths[key]

    def equation(
        self,
        tex: str,  # a formula
        page: str,  # the page it is on
        ident: str = "",  # its label
        number: str = "",  # its number on the page
    ) -> str:
        "Stand in for a displayed equation, numbered when it has a label."
        name = self.new("e", page)
        self.equations[name] = (self.math(tex, True, page), ident, number)
        return name

    def citation(
        self,
        markdown: str,  # a citation as pandoc reads it
        page: str,  # the page it is on
    ) -> str:
        "Stand in for a citation."
        if markdown not in self.citations:
            self.citations[markdown] = self.new("c", page)
        return self.citations[markdown]

    def fixed(
        self,
        page: str,  # the page it is on
        value: Value,  # what to put back
    ) -> str:
        "Stand in for HTML that is known already."
        name = self.new("x", page)
        self.values[name] = value
        return name

    # ---- putting back

    def into_html(
        self,
        text: str,  # a rendered page
    ) -> str:
        "Put the HTML back into a page; plain text into attributes and the title."
        parts = TAGS.split(text)
        return "".join(self.plain(p, escape=True) if k % 2 else self.put(p, "html") for k, p in enumerate(parts))

    def put(
        self,
        text: str,  # text with stand-ins
        form: str,  # `html`, `plain` or `markdown`
    ) -> str:
        "Put one form back, and again in what was put back (a formula in a caption)."
        for _ in range(3):
            if not TOKEN.search(text):
                break
            text = TOKEN.sub(lambda m: getattr(self.values[m[0]], form) if m[0] in self.values else m[0], text)
        return text

    def plain(
        self,
        text: str,  # text with stand-ins
        escape: bool = False,  # escape what is put back, for HTML
    ) -> str:
        "Put plain text back."
        if not TOKEN.search(text):
            return text
        return TOKEN.sub(lambda m: (html.escape if escape else str)(self.put(m[0], "plain")), text)
