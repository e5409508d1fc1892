"Build the whole site into a scratch folder and swap it in at the end, so that a failure or a kill leaves the old one."

import copy
import html
import json
import os
import re
import shutil
import time
from pathlib import Path, PurePosixPath

import yaml

from .check import check_site
from .copies import write_copies
from .notebooks import process
from .pandoc import write_citations, write_maths
from .prepare import PagePreparation
from .project import Problems, Project
from .status import all_facts
from .symbols import index
from .tokens import Tokens

QUARTO_ONLY = ("ipynb-filters", "execute", "bibliography", "csl", "link-citations", "crossref")  # top-level keys that smalldocs does not read
QUARTO_FORMAT = ("html-math-method", "toc-expand", "lightbox", "highlight-style", "code-tools", "grid", "respect-user-color-scheme", "link-external-newwindow")
WORDS_A_MINUTE = 220


def say(
    text: str,  # a line
) -> None:
    "Print a line at once."
    print(text, flush=True)


def stage_config(
    project: Project,  # the handbook
    stage: Path,  # where smalldocs builds from
    out: Path,  # where it writes to
) -> None:
    "Write `_quarto.yml` as smalldocs shall read it: without what only Quarto knows, and without pages that are not there."

    def prune(items: list) -> list:
        kept = []
        for item in items:
            if isinstance(item, dict) and "contents" in item:
                item = {**item, "contents": prune(item["contents"])}
                if item["contents"]:
                    kept.append(item)
            else:
                page = item if isinstance(item, str) else item.get("href", "")
                if not page.endswith(".ipynb") or page in project.notebooks:
                    kept.append(item)
        return kept

    config = {k: v for k, v in copy.deepcopy(project.config).items() if k not in QUARTO_ONLY}
    config["project"]["output-dir"] = os.path.relpath(out, stage)
    config["website"]["sidebar"]["contents"] = prune(config["website"]["sidebar"]["contents"])
    for side in ("left", "right"):
        if isinstance(config["website"].get("navbar"), dict) and side in config["website"]["navbar"]:
            config["website"]["navbar"][side] = prune(config["website"]["navbar"][side])
    if "lang" in config:
        config["format"]["html"]["lang"] = config.pop("lang")
    for key in QUARTO_FORMAT:
        config["format"]["html"].pop(key, None)
    (stage / "_quarto.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def stage_files(
    project: Project,  # the handbook
    stage: Path,  # where smalldocs builds from
) -> None:
    "Copy what pages may link to: pictures, stylesheets, everything under the notebooks' folders that is no notebook."
    for top in sorted({PurePosixPath(p).parts[0] for p in project.pages}):
        for path in (project.root / top).rglob("*"):
            name = path.relative_to(project.root)
            if path.is_file() and path.suffix not in (".ipynb", ".qmd", ".md") and not any(p.startswith((".", "_")) for p in name.parts):
                (stage / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, stage / name)


def prepare_pages(
    project: Project,  # the handbook
    tokens: Tokens,  # the site's stand-ins
    problems: Problems,  # where to note what is wrong
) -> dict[str, PagePreparation]:
    "Process and prepare every page, with progress."
    pages = {}
    for n, page in enumerate(project.pages, 1):
        start = time.perf_counter()
        try:
            nb = json.loads((project.root / page).read_text(encoding="utf-8"))
            pages[page] = PagePreparation(page, process(nb, page, project, problems), tokens, problems)
            pages[page].prepare()
        except Exception as error:  # whatever a broken notebook raises belongs to its page in the report
            problems.add(page, f"{type(error).__name__}: {error}")
            pages.pop(page, None)
        say(f"[{n}/{len(project.pages)}] {page} {time.perf_counter() - start:.1f} s")
    return pages


def render(
    stage: Path,  # the folder to build from
    problems: Problems,  # where to note smalldocs' warnings
) -> None:
    "Let smalldocs build the staged project; each of its warnings is a problem, but for broken links, which our own check finds."
    from smalldocs.config import load
    from smalldocs.site import Site

    site = Site(load(stage), quiet=True)
    site.build()
    for warning in site.warnings:
        page, _, text = warning.partition(": ")
        if not text.startswith("broken link"):
            problems.add(page if text else "smalldocs", text or page)


# ---------------------------------------------------------------- after rendering


def page_tools(
    page: str,  # the page's source
    words: int,  # how many words it has
) -> str:
    "Write the line under the title: reading time, the notebook to download, the Markdown copy."
    name = PurePosixPath(page).stem
    minutes = max(1, round(words / WORDS_A_MINUTE))
    return (
        f'<div class="page-tools"><span><i class="bi bi-clock" aria-hidden="true"></i> {minutes} min</span>'
        f'<a href="{name}.ipynb" download><i class="bi bi-download" aria-hidden="true"></i> Notebook</a>'
        f'<a href="{name}.llms.md"><i class="bi bi-markdown" aria-hidden="true"></i> Markdown</a></div>'
    )


def finish_page(
    text: str,  # a page as smalldocs wrote it
    page: str,  # its source
    tokens: Tokens,  # the site's stand-ins
    home: str,  # the path from the root to the home page
) -> str:
    "Put the stand-ins back, tidy the markup, add the page's tools."
    up = "../" * (len(PurePosixPath(page).parts) - 1)
    text = tokens.into_html(text)
    text = re.sub(r'<svg alt="[^"]*" ', "<svg ", text)
    text = text.replace(f'class="navbar-brand" href="{up}"', f'class="navbar-brand" href="{up}{home}"')
    for ident in re.findall(r'<h[34][^>]*data-anchor-id="([^"]+)"[^>]*><code>', text):  # a symbol's entry in the contents looks like code
        text = text.replace(f'id="toc-{ident}" class="nav-link"', f'id="toc-{ident}" class="nav-link toc-symbol"')
    words = len(re.sub(r"<(?:svg|script|style|pre|nav)\b.*?</(?:svg|script|style|pre|nav)>|<[^>]+>", " ", text, flags=re.S).split())
    end = text.find("</header>", text.find('id="title-block-header"'))
    if end > 0 and 'id="title-block-header"' in text:
        text = text[:end] + page_tools(page, words) + text[end:]
    return text


def finish_site(
    project: Project,  # the handbook
    out: Path,  # the built site
    tokens: Tokens,  # the site's stand-ins
    fronts: dict[str, dict],  # the front matter of each page
) -> None:
    "Finish what smalldocs wrote: pages, Markdown copies, search index, stylesheets, downloads, the redirect at the root."
    home = PurePosixPath(project.pages[0]).with_suffix(".html").as_posix()
    for page in project.pages:
        path = out / PurePosixPath(page).with_suffix(".html")
        if path.is_file():
            path.write_text(finish_page(path.read_text(encoding="utf-8"), page, tokens, home), encoding="utf-8")
            shutil.copy2(project.root / page, out / page)
    write_copies(project, out, tokens, fronts)
    search = out / "search.json"
    entries = [{k: tokens.plain(v) for k, v in entry.items()} for entry in json.loads(search.read_text(encoding="utf-8"))]
    search.write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")
    for css in (out / "site_libs").rglob("*.css"):  # Bootswatch themes ask Google for fonts; the house stylesheet names its own
        text = css.read_text(encoding="utf-8")
        css.write_text(re.sub(r"@import url\((?:https?:)?//[^)]*\);?", "", text), encoding="utf-8")
    title, icon = (html.escape(project.config["website"].get(key, "")) for key in ("title", "favicon"))
    (out / "index.html").write_text(
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<link rel="icon" href="{icon or "data:,"}"><meta http-equiv="refresh" content="0; url={home}"></head>'
        f'<body><p><a href="{home}">{title}</a></p></body></html>\n',
        encoding="utf-8",
    )
    (out / ".nojekyll").touch()


# ---------------------------------------------------------------- the swap


def alive(
    pid: int,  # a process
) -> bool:
    "Say whether a process is running."
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def scratch_folder(
    target: Path,  # where the finished site goes
) -> Path:
    "Make a scratch folder beside the site; clean up after builds that were killed, and bring a site back that was being swapped."
    parent = target.parent / "_build"
    parent.mkdir(exist_ok=True)
    for old in parent.glob("site-*"):
        pid = int(old.name.partition("-")[2])
        if pid != os.getpid() and alive(pid):
            continue  # another build is at work
        if (old / "previous").is_dir() and not target.exists():
            os.replace(old / "previous", target)
        shutil.rmtree(old)
    scratch = parent / f"site-{os.getpid()}"
    scratch.mkdir()
    return scratch


def swap(
    new: Path,  # the finished site
    target: Path,  # where it goes
    scratch: Path,  # where the old one waits until the new one is in place
) -> None:
    "Put the finished site in place of the old one."
    if target.exists():
        os.replace(target, scratch / "previous")
    os.replace(new, target)


def build(
    root: Path,  # the project's folder
    partial: bool = False,  # leave out pages of the sidebar that are not there
    target: Path | None = None,  # where the site goes; None: the `output-dir` of `_quarto.yml`
    draft: bool = False,  # publish in spite of problems, to look at pages being written; the problems are still raised
) -> Path:
    "Build the site; raise `SiteError` with every problem and leave the old site when there is one."
    start = time.perf_counter()
    all_facts.cache_clear()
    index.cache_clear()
    project, problems, tokens = Project(root.resolve(), partial), Problems(), Tokens()
    target = target or project.root / project.config["project"]["output-dir"]
    scratch = scratch_folder(target)
    stage, out = scratch / "stage", scratch / "out"
    try:
        stage.mkdir()
        project.check_pages(problems)
        pages = prepare_pages(project, tokens, problems)
        write_maths(tokens, problems)
        bibliography = write_citations(project, tokens, problems)
        stage_config(project, stage, out)
        stage_files(project, stage)
        for page, work in pages.items():
            work.add_bibliography(bibliography)
            (stage / page).parent.mkdir(parents=True, exist_ok=True)
            (stage / page).write_text(json.dumps(work.nb, ensure_ascii=False), encoding="utf-8")
        say(f"maths {len(tokens.maths)}, citations {len(tokens.citations)}; rendering {len(pages)} pages")
        if pages:
            render(stage, problems)
            finish_site(project, out, tokens, {page: work.front for page, work in pages.items()})
            check_site(project, out, problems)
        if not draft:
            problems.raise_if_any()
        swap(out, target, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    say(f"{len(pages)} pages in {target.name} after {time.perf_counter() - start:.1f} s")
    problems.raise_if_any()
    return target
