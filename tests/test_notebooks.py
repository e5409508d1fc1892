"""The chapters are exported, clean, executed as they stand, and pass nbdev's own test."""

import copy
import os
import subprocess
import sys

import nbformat
import pytest

from tools import rerun
from tools.export import differences, exported, modules, show

LIGHT = [p for p in rerun.chapters() if rerun.last_seconds(p) <= 8]  # seconds
COST = 1 + sum(map(rerun.last_seconds, LIGHT))  # seconds: these chapters run once more here
IDS = {"ids": lambda p: p.relative_to(rerun.ROOT / "nbs").with_suffix("").as_posix()}
CHAPTERS = pytest.mark.parametrize("path", rerun.chapters(), **IDS)


@pytest.mark.parametrize("path", LIGHT, **IDS)
def test_nbdev_test(path):
    "nbdev's own runner runs the light chapters; nbval runs all of them, every assertion too, and compares their outputs besides."
    env = {k: v for k, v in os.environ.items() if k not in ("IN_TEST", "PYTEST_CURRENT_TEST")} | {"MPLBACKEND": "Agg"}
    code = "import sys; from nbdev.test import nbdev_test; nbdev_test(path=sys.argv[1], n_workers=0)"
    run = subprocess.run([sys.executable, "-c", code, str(path)], cwd=rerun.ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == 0, f"{run.stdout[-2000:]}\n{run.stderr[-6000:]}"


def test_the_package_is_exported_from_the_chapters():
    "Exporting again would change nothing, the index of symbols included."
    changed = differences()
    assert not changed, "out of step: run `make export` (or nbdev_export)\n\n" + "\n\n".join(show(*c) for c in changed.items())


def test_each_chapter_exports_its_own_module():
    "A chapter of the package has a module of its name, and the other way round."
    matter = {"index", "notation", "glossary", "references", "status", "colophon"}
    names = {p.relative_to(rerun.ROOT / "nbs").with_suffix("").as_posix() for p in rerun.chapters()}
    rooms = {n for n in names if "/" in n and not n.startswith("trials/")}
    assert names - rooms - {n for n in names if n.startswith("trials/")} <= matter, "a page at the top that is not front or back matter"
    files = {n.removeprefix("portfolio_ml/").removesuffix(".py") for n in modules(rerun.ROOT)}
    assert {f for f in files if not f.rpartition("/")[2].startswith("_")} == rooms


def test_an_edited_module_is_noticed(tmp_path):
    "The export test sees one changed character, and a module without chapter."
    project = tmp_path / "project"
    fresh = exported()
    for name, text in fresh.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    (project / "portfolio_ml" / "core" / "validation.py").write_text("x = 1\n", encoding="utf-8")
    (project / "portfolio_ml" / "stray.py").write_text("x = 1\n", encoding="utf-8")
    os.symlink(rerun.ROOT / "nbs", project / "nbs")
    os.symlink(rerun.ROOT / "settings.ini", project / "settings.ini")
    changed = differences(project)
    assert set(changed) == {"portfolio_ml/core/validation.py", "portfolio_ml/stray.py"}
    assert changed["portfolio_ml/stray.py"] is None
    assert "(exported)" in show("portfolio_ml/core/validation.py", fresh["portfolio_ml/core/validation.py"], project)


@CHAPTERS
def test_clean(path):
    "nbdev_clean would leave the file as it is."
    from nbdev.clean import clean_nb

    nb = rerun.read(path)
    cleaned = copy.deepcopy(nb)
    clean_nb(cleaned, allowed_metadata_keys=["portfolio_ml"], allowed_cell_metadata_keys=["tags"])
    assert cleaned == nb, "not clean: `make rerun CHAPTERS=...` or `nbdev_clean --fname ...`"
    nbformat.validate(nbformat.from_dict(nb))
    ids = [c["id"] for c in nb["cells"]]
    assert len(set(ids)) == len(ids), "two cells share an id"


@CHAPTERS
def test_executed_as_it_stands(path):
    "The provenance was written by a run of this very source, and no cell failed."
    nb = rerun.read(path)
    record = rerun.provenance(nb)
    hint = f"make rerun CHAPTERS={path.stem}"
    assert record, f"never executed: {hint}"
    assert record["source"] == rerun.source_hash(nb), f"edited since it was executed: {hint}"
    assert set(record) >= {"executed", "seconds", "python", "packages"}
    assert record.get("data", {}) == rerun.data_used(nb), f"the bundled data have changed since it was executed: {hint}"
    failed = [c["id"] for c in nb["cells"] for o in c.get("outputs", ()) if o["output_type"] == "error"]
    assert not failed, f"cells that ended in an error: {failed}"


def test_enough_chapters_are_light():
    "The two runners are compared on a good part of the book."
    assert len(LIGHT) >= 20


def small_notebook(path, source):
    "Write a notebook of one code cell."
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, id="one")])
    nbformat.write(nb, path)
    return path


def test_rerun_stores_outputs_and_provenance(tmp_path):
    "A re-executed chapter holds its outputs, line by line, and what it was run with."
    path = small_notebook(tmp_path / "a.ipynb", 'print("one")\nprint("two")')
    assert rerun.execute(path, timeout=60) > 0
    nb = rerun.read(path)
    assert nb["cells"][0]["outputs"][0]["text"] == ["one\n", "two\n"]
    assert nb["cells"][0]["execution_count"] is None
    assert rerun.provenance(nb)["source"] == rerun.source_hash(nb)
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_chapter_that_fails_keeps_its_old_outputs(tmp_path):
    "A run that ends in an error leaves the file untouched."
    path = small_notebook(tmp_path / "a.ipynb", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(Exception, match="ZeroDivisionError"):
        rerun.execute(path, timeout=60)
    assert path.read_bytes() == before


def test_a_chapter_edited_during_its_run_is_kept(tmp_path):
    "What an author saves while the chapter runs is not overwritten."
    path = small_notebook(tmp_path / "a.ipynb", "import pathlib\np = pathlib.Path('a.ipynb')\np.write_text(p.read_text().replace('p = ', 'q = p = '))")
    with pytest.raises(RuntimeError, match="edited while it ran"):
        rerun.execute(path, timeout=60)
    assert "q = p = " in path.read_text(encoding="utf-8")


def test_provenance_names_the_data():
    "The data sets that a chapter loads stand in its provenance, with their hashes; a word that is also a name does not."
    nb = {"cells": [{"cell_type": "code", "source": 'prices = load_prices("us20")'}], "metadata": {}}
    assert list(rerun.data_used(nb)) == ["us20"]
    assert rerun.data_used({"cells": [{"cell_type": "code", "source": 'name = "us20"'}], "metadata": {}}) == {}


def test_source_hash_ignores_outputs_and_the_form_of_text():
    "The hash is of what is said and computed, however the file writes it."
    one = {"cells": [{"cell_type": "code", "source": "a\nb", "outputs": []}], "metadata": {}}
    two = {"cells": [{"cell_type": "code", "source": ["a\n", "b"], "outputs": [1]}], "metadata": {"x": 1}}
    three = {"cells": [{"cell_type": "markdown", "source": "a\nb"}], "metadata": {}}
    assert rerun.source_hash(one) == rerun.source_hash(two) != rerun.source_hash(three)
