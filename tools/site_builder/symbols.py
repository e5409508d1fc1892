"Find the page and the anchor of a documented name, and link the names that stand in back-ticks."

import ast
import re
from functools import lru_cache
from pathlib import PurePosixPath

from .apidoc import anchor, methods, module_of
from .project import Project

# What linking leaves alone: fenced code, links with their text, code in several back-ticks, headings, the first cell of a table row. The last branch is a name to link.
NAME = re.compile(
    r"(?P<keep>^(?P<f>`{3,}|~{3,}).*?^(?P=f)[ \t]*$|\[[^\[\]]*\](?:\([^)]*\)|\{[^}]*\})|``.+?``|^#{1,6} [^\n]*$|^\|(?: `[^`\n]+`,?)+ \|)"
    r"|(?<!`)`(?P<name>[A-Za-z_][\w.]*)(?P<call>\(\))?`(?!`)",
    re.M | re.S,
)


@lru_cache(None)
def index(
    root: str,  # the project's folder
) -> dict[str, tuple[str, str]]:
    "Read nbdev's index of exported symbols: name -> (page, anchor), for short and for full names; an undocumented method leads to its class."
    from pathlib import Path

    project = Project(Path(root))
    path = project.library / "_modidx.py"
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    modules = ast.literal_eval(text[text.index("d = ") + 4 :].strip())["syms"]
    library, out = project.settings["lib_name"], {}
    for module, names in modules.items():
        source = module_of(project, module.removeprefix(f"{library}."))
        for full, (page, _) in names.items():
            name = full.removeprefix(f"{module}.")
            if source is None or name not in source.definitions or any(part.startswith("_") for part in name.split(".")):
                continue
            owner = name.partition(".")[0]
            documented = name == owner or any(f"{owner}.{m.name}" == name for m in methods(source.definitions[owner]))
            target = (str(PurePosixPath(page.partition("#")[0]).with_suffix(".ipynb")), anchor(name if documented else owner))
            out.setdefault(name, target)
            out[full] = target
            out.setdefault(module, (target[0], ""))
    return out


def link_names(
    text: str,  # Markdown
    project: Project,  # the handbook
    page: str,  # the page it stands on
) -> str:
    "Link every documented name in back-ticks to its documentation, outside headings, links and code blocks."
    table = index(str(project.root))

    def one(m: re.Match) -> str:
        target = table.get(m["name"] or "")
        if m["keep"] or target is None:
            return m[0]
        where, ident = target
        tail = f"#{ident}" if ident else ""
        return f"[{m[0]}]({tail})" if where == page and tail else f"[{m[0]}](/{where}{tail})"

    return NAME.sub(one, text)
