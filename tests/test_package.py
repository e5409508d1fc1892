"""The package is built, installed where nothing else is, and used there: from a wheel, without extras, away from the checkout."""

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser

import pytest
from packaging.requirements import Requirement

from tools.environment import get_uv, pip_settings, uv_settings
from tools.rerun import ROOT

COST = 70  # seconds, about
SOURCES = ("settings.ini", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "portfolio_ml", "data")
AUTHORING = {"nbdev", "execnb", "fastcore", "ipython", "jupyterlab", "ipykernel", "nbformat"}
USE = """
import json, sys
import portfolio_ml
assert "pandas" not in sys.modules
from importlib.metadata import distributions, version
from portfolio_ml.allocation.baselines import EqualWeight, InverseVolatility
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.data.catalog import list_datasets, load_prices
prices = load_prices("us20")
returns = prices.pct_change().iloc[1:].tail(1000)
bt = walk_forward({"1/N": EqualWeight(), "1/vol": InverseVolatility()}, returns, window=252, rebalance="month", costs=0.001)
print(json.dumps({
    "file": portfolio_ml.__file__, "version": [portfolio_ml.__version__, version("portfolio_ml")], "shape": prices.shape,
    "columns": list(bt.net_returns.columns), "missing": int(bt.net_returns.isna().sum().sum()), "sets": len(list_datasets()),
    "installed": sorted(d.metadata["Name"].lower() for d in distributions()),
}))
"""


def settings():
    "Read settings.ini."
    config = ConfigParser()
    config.read(ROOT / "settings.ini", encoding="utf-8")
    return config["DEFAULT"]


def uv_command():
    "Give the uv command of this environment, with pip's settings in its words; skip when there is none."
    uv = get_uv(sys.executable)
    if uv is None:
        pytest.skip("uv is not installed and could not be: `make test` installs it")
    return str(uv), uv_settings(pip_settings(sys.executable))


def run(*command, cwd, **env):
    "Run a command; fail with what it printed."
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def cached_first(*command, cwd, **env):
    "Run uv from its cache alone if that suffices, over the network if not."
    quick = subprocess.run([str(c) for c in command], cwd=cwd, env={**os.environ, **env, "UV_OFFLINE": "1"}, capture_output=True, text=True)
    return quick.stdout if quick.returncode == 0 else run(*command, cwd=cwd, **env)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "Build the sdist from a clean copy of the sources, and the wheel from the sdist; give both paths."
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        path, ignore = ROOT / name, shutil.ignore_patterns("__pycache__", "*.tmp", ".*")
        shutil.copytree(path, source / name, ignore=ignore) if path.is_dir() else shutil.copy2(path, source / name)
    uv, env = uv_command()
    cached_first(uv, "build", "--python", sys.executable, "--out-dir", folder / "dist", source, cwd=folder, **env)
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def clean(built, tmp_path_factory):
    "Install the wheel, without extras, into an empty environment; give its Python."
    folder = tmp_path_factory.mktemp("clean")
    uv, env = uv_command()
    run(uv, "venv", "-q", "--python", sys.executable, folder / "venv", cwd=folder, **env)
    python = folder / "venv" / "bin" / "python"
    env.pop("UV_COMPILE_BYTECODE", None)
    cached_first(uv, "pip", "install", "-q", "--python", python, "-c", ROOT / "lock.txt", built[1], cwd=folder, **env)
    return python


def wheel_metadata(wheel):
    "Read the METADATA of a wheel."
    with zipfile.ZipFile(wheel) as z:
        name = next(n for n in z.namelist() if n.endswith(".dist-info/METADATA"))
        return email.message_from_string(z.read(name).decode("utf-8"))


def canonical(text):
    "Write a requirement in one form."
    need = Requirement(text)
    return need.name.lower().replace("_", "-"), str(need.specifier)


def test_settings_are_the_one_source(built):
    "The wheel says of itself what settings.ini says: name, version, Python, requirements, one extra a key."
    cfg, meta = settings(), wheel_metadata(built[1])
    assert (meta["Name"].replace("-", "_"), meta["Version"], meta["Requires-Python"]) == (cfg["lib_name"], cfg["version"], f">={cfg['min_python']}")
    needs = [Requirement(r) for r in meta.get_all("Requires-Dist")]
    core = {canonical(str(n)) for n in needs if n.marker is None}
    assert core == {canonical(r) for r in cfg["requirements"].split()}
    extras = {k.removesuffix("_requirements"): v for k, v in cfg.items() if k.endswith("_requirements")}
    assert set(meta.get_all("Provides-Extra")) == set(extras)
    for name, wanted in extras.items():
        found = {(n.name.lower().replace("_", "-"), str(n.specifier)) for n in needs if n.marker and n.marker.evaluate({"extra": name})}
        assert found == {canonical(r) for r in wanted.split()}, f"extra {name}"


def test_the_version_is_the_same_everywhere():
    "The package, settings.ini, CITATION.cff and the changelog name one version."
    import portfolio_ml

    version = settings()["version"]
    assert portfolio_ml.__version__ == version
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"[{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_lock_holds_every_requirement():
    "Each requirement of each extra that the handbook installs is pinned in lock.txt, within its bounds."
    pins = dict(line.split("==") for line in (ROOT / "lock.txt").read_text(encoding="utf-8").split())
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    for key in ("requirements", "handbook_requirements", "dev_requirements"):
        for text in settings()[key].split():
            need = Requirement(text)
            name = need.name.lower().replace("_", "-")
            assert name in pins, f"{name} is not in lock.txt"
            assert need.specifier.contains(pins[name]), f"{name} is pinned outside its own bounds"


def test_the_wheel_carries_modules_data_and_nothing_else(built):
    "Every module, every bundled file, the licence; no notebooks, tests or tools."
    with zipfile.ZipFile(built[1]) as z:
        names = {n for n in z.namelist() if ".dist-info/" not in n}
        licences = [n for n in z.namelist() if ".dist-info/" in n and "LICENSE" in n]
    modules = {p.relative_to(ROOT).as_posix() for p in (ROOT / "portfolio_ml").rglob("*.py")}
    data = {f"portfolio_ml/_bundled/{p.relative_to(ROOT / 'data').as_posix()}" for p in (ROOT / "data").rglob("*") if p.is_file()}
    assert modules <= names, f"modules that the wheel lacks: {modules - names}"
    assert {d for d in data if not d.endswith(".tmp")} <= names, f"data that the wheel lacks: {data - names}"
    assert names - modules - data == set(), f"in the wheel by accident: {names - modules - data}"
    assert licences


def test_the_sdist_is_complete(built):
    "The source archive holds what it needs to build itself; the wheel above was built from it."
    with tarfile.open(built[0]) as t:
        names = {n.partition("/")[2] for n in t.getnames()}
    assert {"settings.ini", "setup.py", "pyproject.toml", "README.md", "LICENSE"} <= names
    assert any(n.startswith("data/") for n in names)


def test_a_backtest_from_the_wheel(clean, tmp_path):
    "In an environment with nothing but the package, in another folder: data are loaded and a backtest runs."
    seen = json.loads(run(clean, "-I", "-c", USE, cwd=tmp_path).splitlines()[-1])
    assert str(ROOT) not in seen["file"]
    assert seen["version"] == [settings()["version"]] * 2
    assert seen["shape"][1] == 20 and seen["columns"] == ["1/N", "1/vol"] and seen["missing"] == 0 and seen["sets"] > 0
    assert not AUTHORING & set(seen["installed"]), "the core requirements pull in an authoring tool"


def test_the_readme_runs(clean, tmp_path):
    "The Python in the README works as it stands, from the wheel."
    blocks = re.findall(r"^```(?:py|python)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks, "the README shows no Python"
    for block in blocks:
        run(clean, "-I", "-W", "error::FutureWarning", "-c", block, cwd=tmp_path)


def test_a_missing_extra_says_what_to_install(clean, tmp_path):
    "Without extras, a comparison with another library names the extra."
    code = "from portfolio_ml.core.validation import require, MissingExtraError\ntry:\n    require('skfolio', 'peers')\nexcept MissingExtraError as e:\n    print(e)"
    assert "pip install 'portfolio_ml[peers]'" in run(clean, "-I", "-c", code, cwd=tmp_path)


@pytest.mark.parametrize("which", ["clean", "handbook"])
def test_pip_check(which, request, tmp_path):
    "No package misses what it requires, in the clean environment and in the handbook's."
    python = request.getfixturevalue("clean") if which == "clean" else sys.executable
    uv, env = uv_command()
    run(uv, "pip", "check", "--python", python, cwd=tmp_path, **env)
