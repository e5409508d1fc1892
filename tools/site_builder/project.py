"What the builder knows of a project: its two configuration files, its pages in reading order, and the problems found so far."

from configparser import ConfigParser
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml


class SiteError(Exception):
    "A site that must not be published; the message lists every problem with its page."


@dataclass
class Problems:
    "Collect what is wrong, page by page, so that one run reports everything."

    found: list[tuple[str, str]] = field(default_factory=list)  # (page, what is wrong)

    def add(
        self,
        page: object,  # the page it was found on
        text: str,  # what is wrong, with the offending text
    ) -> None:
        "Note a problem, once."
        if (str(page), text) not in self.found:
            self.found.append((str(page), text))

    def raise_if_any(self) -> None:
        "Raise `SiteError` with the whole list when there is one."
        if self.found:
            lines = "\n".join(f"  {page}: {text}" for page, text in sorted(self.found))
            raise SiteError(f"{len(self.found)} problem(s):\n{lines}")


@dataclass
class Project:
    "A handbook: the folder with `_quarto.yml` and `settings.ini`."

    root: Path  # the folder
    partial: bool = False  # build what exists and leave the missing pages out

    @cached_property
    def config(self) -> dict:
        "Read `_quarto.yml`."
        return yaml.safe_load((self.root / "_quarto.yml").read_text(encoding="utf-8"))

    @cached_property
    def settings(self) -> dict:
        "Read `settings.ini`, nbdev's configuration."
        parser = ConfigParser()
        parser.read(self.root / "settings.ini", encoding="utf-8")
        return dict(parser["DEFAULT"])

    @property
    def library(self) -> Path:
        "Give the folder of the exported package."
        return self.root / self.settings["lib_path"]

    @property
    def bibliography(self) -> Path:
        "Give the file of the bibliography."
        return self.root / self.config["bibliography"]

    def source_url(
        self,
        path: str,  # a file, from the root
        line: int,  # a line of it
    ) -> str:
        "Give the address of a line of source in the public repository."
        return f"{self.settings['git_url']}/blob/{self.settings['branch']}/{path}#L{line}"

    @cached_property
    def notebooks(self) -> list[str]:
        "List every notebook that the render list names, hidden and underscored folders apart."
        found = []
        for pattern in self.config["project"]["render"]:
            for path in sorted(self.root.glob(pattern)):
                name = path.relative_to(self.root)
                if not any(part.startswith((".", "_")) for part in name.parts) and name.as_posix() not in found:
                    found.append(name.as_posix())
        return found

    @cached_property
    def sidebar(self) -> list[str]:
        "List the pages of the sidebar, in order: the reading order."

        def walk(items: list) -> list[str]:
            out = []
            for item in items:
                if isinstance(item, str):
                    out.append(item)
                elif "contents" in item:
                    out += walk(item["contents"])
                elif "href" in item:
                    out.append(item["href"])
            return out

        return [p for p in walk(self.config["website"]["sidebar"]["contents"]) if p.endswith(".ipynb")]

    @cached_property
    def pages(self) -> list[str]:
        "List the pages to build: those of the sidebar that exist, then those that it forgot."
        known = [p for p in self.sidebar if p in self.notebooks]
        return known + [p for p in self.notebooks if p not in known]

    def check_pages(
        self,
        problems: Problems,  # where to note them
    ) -> None:
        "Find pages that the sidebar names and nobody wrote, and pages that it forgot."
        for page in self.sidebar:
            if page not in self.notebooks and not self.partial:
                problems.add("_quarto.yml", f"the sidebar names {page}, which is not there")
        for page in self.notebooks:
            if page not in self.sidebar:
                problems.add("_quarto.yml", f"{page} is not in the sidebar")
        for page in sorted({p for p in self.sidebar if self.sidebar.count(p) > 1}):
            problems.add("_quarto.yml", f"the sidebar names {page} twice")
