"Check the built site as a reader's browser would: every link leads somewhere, nothing comes from elsewhere, every picture has words."

import re
from collections import Counter
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from lxml import html
from lxml.html import HtmlElement

from .project import Problems, Project
from .tokens import TOKEN

RESOURCES = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "video": "src", "audio": "src", "embed": "src", "object": "data", "input": "src"}
NOT_LOADED = {"canonical", "alternate", "license", "author", "next", "prev"}  # kinds of <link> that no browser fetches
DELIVERY = re.compile(r"(?:cdn\.jsdelivr|unpkg\.com|cdnjs\.|googleapis|gstatic|polyfill\.io|cdn\.plot\.ly|mathjax\.org)[\w./-]*")
CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)['\"]?\s*\)|@import\s+['\"]([^'\"]+)")
UNREAD = {"pre", "code", "svg", "math", "script", "style"}  # where markup is quoted, or none of ours
LEFTOVER = re.compile(rf"{TOKEN.pattern}|(?<![\w/])@(?:fig|tbl|eq|sec|thm)-[\w-]+|^:::.*$|\$\$", re.M)


def off_site(
    address: str,  # an address in the page
) -> bool:
    "Say whether an address leads out of the site."
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in ("", "data")


class SiteCheck:
    "The pages of a built site, parsed once."

    def __init__(
        self,
        out: Path,  # the built site
        problems: Problems,  # where to note what is wrong
        unwritten: set[str] = frozenset(),  # pages that a partial build leaves out: links to them are no problem yet
    ):
        self.out, self.problems, self.unwritten = out, problems, unwritten
        self.trees = {p.relative_to(out).as_posix(): html.document_fromstring(p.read_bytes(), parser=html.HTMLParser(encoding="utf-8")) for p in sorted(out.rglob("*.html"))}
        self.ids = {name: Counter(tree.xpath("//@id")) for name, tree in self.trees.items()}

    def local(
        self,
        page: str,  # the page an address stands on
        address: str,  # the address
    ) -> tuple[str, str]:
        "Resolve an address to a file of the site and an anchor."
        parts = urlsplit(address)
        if not parts.path:
            return page, unquote(parts.fragment)
        path = PurePosixPath(page).parent / unquote(parts.path)
        flat: list[str] = []
        for part in path.parts:
            flat = flat[:-1] if part == ".." else [*flat, part]
        name = "/".join(p for p in flat if p != ".")
        if not name or parts.path.endswith("/"):
            name = f"{name}/index.html".lstrip("/")
        return name, unquote(parts.fragment)

    def link(
        self,
        page: str,  # the page it stands on
        address: str,  # where an <a> leads
        words: str,  # what it says
    ) -> None:
        "Check an ordinary link inside the site: the file and the anchor exist."
        if off_site(address) or address.startswith(("javascript:", "mailto:")) or not address:
            return
        name, ident = self.local(page, address)
        if name in self.unwritten:
            return
        if not (self.out / name).is_file():
            self.problems.add(page, f"broken link {address} ({words})")
        elif ident and name in self.ids and ident not in self.ids[name] and not ident.startswith("ref-"):  # a citation, checked before
            self.problems.add(page, f"broken anchor {address} ({words})")

    def resource(
        self,
        page: str,  # the page that needs it
        address: str,  # the address of what the page loads
        what: str,  # the tag, for the message
    ) -> None:
        "Check a resource that the page loads: it lies in the site."
        if address.startswith(("data:", "#")) or not address:
            return
        if off_site(address):
            self.problems.add(page, f"off-site {what}: {address}")
        elif not (self.out / self.local(page, address)[0]).is_file():
            self.problems.add(page, f"missing {what}: {address}")

    def page(
        self,
        name: str,  # the page
    ) -> None:
        "Check one page."
        tree = self.trees[name]
        for a in tree.xpath("//a[@href]"):
            self.link(name, a.get("href"), " ".join(a.text_content().split())[:60])
        for tag, attr in RESOURCES.items():
            for item in tree.xpath(f"//{tag}[@{attr}]"):
                if tag != "link" or not NOT_LOADED & set(item.get("rel", "").split()):
                    self.resource(name, item.get(attr), tag)
        for use in tree.xpath("//use"):
            self.resource(name, use.get("href") or use.get("xlink:href") or "", "use")
        for style in [*(t.text_content() for t in tree.xpath("//style")), *tree.xpath("//@style[contains(., 'url')]")]:
            self.stylesheet(name, style)
        for found in {m[0] for script in tree.xpath("//script") for m in DELIVERY.finditer(script.text_content())}:
            self.problems.add(name, f"off-site address in a script: {found}")
        for ident in (i for i, count in self.ids[name].items() if count > 1):
            self.problems.add(name, f"duplicate id {ident}")
        self.pictures(name, tree)
        self.leftovers(name, tree)

    def pictures(
        self,
        name: str,  # the page
        tree: HtmlElement,  # its parsed text
    ) -> None:
        "Check that every picture has words for who cannot see it."
        for img in tree.xpath("//img"):
            link = next(img.iterancestors("a"), None)
            decorative = img.get("aria-hidden") == "true" or ("alt" in img.attrib and link is not None and link.text_content().strip())
            if not img.get("alt", "").strip() and not decorative:
                self.problems.add(name, f"picture without alt text: {img.get('src', '')[:80]}")
        for svg in tree.xpath("//main//svg[not(ancestor::svg)]"):
            if not (svg.get("aria-label") or svg.get("aria-hidden") == "true" or svg.xpath(".//title")):
                self.problems.add(name, "inline SVG without aria-label")

    def leftovers(
        self,
        name: str,  # the page
        tree: HtmlElement,  # its parsed text
    ) -> None:
        "Check that no markup was left unread, as an unclosed `:::` or a reference nobody resolved."
        quoted = " or ".join(f"ancestor::{tag}" for tag in sorted(UNREAD))
        for text in tree.xpath(f"//main//text()[not({quoted})]"):
            for m in LEFTOVER.finditer(text):
                self.problems.add(name, f"unread markup: {m[0][:60]}")

    def stylesheet(
        self,
        name: str,  # the page or stylesheet that it stands in
        text: str,  # CSS
    ) -> None:
        "Check that a stylesheet loads nothing from elsewhere."
        for m in CSS_URL.finditer(text):
            address = m[1] or m[2]
            if off_site(address):
                self.problems.add(name, f"off-site address in a stylesheet: {address}")
            elif not address.startswith(("data:", "#")) and not (self.out / self.local(name, address)[0]).is_file():
                self.problems.add(name, f"missing file of a stylesheet: {address}")


def check_site(
    project: Project,  # the handbook
    out: Path,  # the built site
    problems: Problems,  # where to note what is wrong
) -> None:
    "Check every page and stylesheet of a built site."
    missing = {str(PurePosixPath(p).with_suffix(".html")) for p in project.sidebar if p not in project.notebooks}
    site = SiteCheck(out, problems, missing if project.partial else set())
    for name in site.trees:
        site.page(name)
    for css in sorted(out.rglob("*.css")):
        site.stylesheet(css.relative_to(out).as_posix(), css.read_text(encoding="utf-8"))
    for page in project.pages:
        if PurePosixPath(page).with_suffix(".html").as_posix() not in site.trees:
            problems.add(page, "the page was not built")
