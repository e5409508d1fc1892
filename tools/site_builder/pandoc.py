"Two calls of pandoc for the whole site: one writes every formula as MathML, one every citation and the bibliography."

import json
import re
import subprocess

import pypandoc
from bs4 import BeautifulSoup

from .project import Problems, Project
from .tokens import Tokens, Value


def run(
    args: list[str],  # pandoc's arguments
    text: str,  # its input
) -> tuple[str, str]:
    "Run pandoc; give what it writes and what it complains about."
    done = subprocess.run([pypandoc.get_pandoc_path(), *args], input=text, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode:
        raise RuntimeError(f"pandoc failed: {done.stderr.strip()}")
    return done.stdout, done.stderr


def spoken(
    mathml: str,  # a formula as MathML
) -> str:
    "Write a formula as plain text, for the search index and for attributes."
    text = re.sub(r"<annotation\b.*?</annotation>", "", mathml, flags=re.S)
    return " ".join(BeautifulSoup(text, "html.parser").get_text(" ").split())


def write_maths(
    tokens: Tokens,  # the site's stand-ins: those of formulas are filled in
    problems: Problems,  # where to note a formula that pandoc cannot read
) -> None:
    "Convert every formula of the site to MathML in one call."
    if tokens.maths:
        kinds = {True: "DisplayMath", False: "InlineMath"}
        version = json.loads(run(["-f", "markdown", "-t", "json"], "")[0])["pandoc-api-version"]
        blocks = []
        for (tex, display), name in tokens.maths.items():
            inline = {"t": "Math", "c": [{"t": kinds[display]}, tex]}
            blocks.append({"t": "Div", "c": [[name, [], []], [{"t": "Plain", "c": [inline]}]]})
        out, _ = run(["-f", "json", "-t", "html", "--mathml", "--wrap=none"], json.dumps({"pandoc-api-version": version, "meta": {}, "blocks": blocks}))
        found = dict(re.findall(r'<div id="(\w+)">\s*(.*?)\s*</div>', out, re.S))
        for (tex, display), name in tokens.maths.items():
            mathml = found.get(name, "")
            if not mathml.startswith("<math"):
                problems.add(tokens.where[name], f"pandoc cannot read this formula: {tex}")
            dollars = "$$" if display else "$"
            tokens.values[name] = Value(mathml, spoken(mathml), f"{dollars}{tex}{dollars}")
    for name, (formula, ident, number) in tokens.equations.items():
        value = tokens.values[formula]
        label = f' id="{ident}"' if ident else ""
        count = f'<span class="equation-number">({number})</span>' if number else ""
        tokens.values[name] = Value(
            f'<span class="equation"{label}><span class="equation-body">{value.html}</span>{count}</span>',
            value.plain,
            value.markdown + (f" ({number})" if number else ""),
        )


def write_citations(
    project: Project,  # the handbook
    tokens: Tokens,  # the site's stand-ins: those of citations are filled in
    problems: Problems,  # where to note a citation that the bibliography does not hold
) -> dict[str, str]:
    "Format every citation of the site in one call, and return the whole bibliography: key -> HTML entry, in order."
    if not project.bibliography.is_file():
        if tokens.citations:
            problems.add(project.config["bibliography"], "the bibliography is not there, and pages cite from it")
        return {}
    head = f"---\nbibliography: {json.dumps(str(project.bibliography))}\nnocite: '@*'\nlink-citations: true\nlang: en-GB\n---\n\n"
    body = "\n\n".join(f"::: {{#{name}}}\n{text}\n:::" for text, name in tokens.citations.items())
    out, complaints = run(["-f", "markdown", "-t", "html", "--citeproc", "--wrap=none"], head + body + "\n\n::: {#refs}\n:::\n")
    missing = set(re.findall(r"citation (\S+) not found", complaints))
    soup = BeautifulSoup(out, "html.parser")
    for text, name in tokens.citations.items():
        for key in missing & set(keys(text)):
            problems.add(tokens.where[name], f"unknown citation @{key}")
        paragraph = soup.find(id=name).find("p")
        tokens.values[name] = Value(paragraph.decode_contents(), paragraph.get_text(), paragraph.get_text())
    return {e["id"].removeprefix("ref-"): str(e) for e in soup.select("#refs > .csl-entry")}


def keys(
    citation: str,  # a citation as pandoc reads it
) -> list[str]:
    "List the keys of a citation."
    return re.findall(r"@([\w](?:[\w:.#$%&+?<>~/-]*\w)?)", citation)
