"""The two commands' groundwork: the environment is made once, never half, and says what is wrong when it cannot be made."""

import os
import shutil
import stat
import subprocess
import sys

import pytest

from tools import environment
from tools.rerun import ROOT

MAKE = shutil.which("make")


@pytest.fixture
def project(tmp_path, monkeypatch):
    "Stand the tool in an empty project, with an installer that only notes its calls."
    for name in environment.INPUTS:
        (tmp_path / name).write_text(name, encoding="utf-8")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "STAMP", tmp_path / ".venv" / "portfolio_ml.json")
    monkeypatch.setattr(environment, "UNFINISHED", tmp_path / ".venv" / "portfolio_ml.unfinished")
    monkeypatch.setattr(environment, "run", lambda *command, **env: True)
    monkeypatch.setattr(sys, "argv", ["environment.py"])
    calls = []

    def create(python):
        calls.append("again" if environment.UNFINISHED.exists() else "create")
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(environment, "create", create)
    monkeypatch.setattr(environment, "install", lambda python, extras: calls.append("install") or "uv")
    return tmp_path, calls


def test_nothing_is_done_twice(project):
    "A second call finds the stamp and does nothing."
    _, calls = project
    environment.main()
    environment.main()
    assert calls == ["create", "install"]


@pytest.mark.parametrize("name", environment.INPUTS)
def test_a_change_of_requirements_installs_again(project, name):
    "The lock, the settings and the build files decide what is installed."
    folder, calls = project
    environment.main()
    (folder / name).write_text("changed", encoding="utf-8")
    environment.main()
    assert calls == ["create", "install"] * 2


def test_an_install_that_was_cut_off_starts_afresh(project, monkeypatch):
    "An interrupt leaves no stamp, and the next call begins with an empty environment."
    _, calls = project

    def cut(python, extras):
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(environment, "install", cut)
        with pytest.raises(KeyboardInterrupt):
            environment.main()
    assert not environment.STAMP.exists() and environment.UNFINISHED.exists()
    environment.main()
    assert calls == ["create", "again", "install"]
    assert environment.STAMP.exists() and not environment.UNFINISHED.exists()


def test_a_half_made_environment_is_emptied_and_marked_meanwhile(tmp_path, monkeypatch):
    "A kill while the environment is made, or emptied, leaves the mark; the next call empties what is there."
    venv, marked = tmp_path / ".venv", []
    monkeypatch.setattr(environment, "VENV", venv)
    monkeypatch.setattr(environment, "UNFINISHED", venv / "portfolio_ml.unfinished")
    (venv / "lib" / "half").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()

    def venv_module(command, **options):
        if "venv" in command:
            marked.extend(sorted(p.name for p in venv.iterdir()))
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    monkeypatch.setattr(environment.subprocess, "run", venv_module)
    environment.create(venv / "bin" / "python")
    assert marked == ["portfolio_ml.unfinished"]


def test_an_interrupted_reinstall_does_not_keep_the_old_stamp(project, monkeypatch):
    "When the lock has changed and the install fails, the old stamp does not pass for a new one."
    folder, calls = project
    environment.main()
    (folder / "lock.txt").write_text("changed", encoding="utf-8")
    with monkeypatch.context() as during:
        during.setattr(environment, "install", lambda python, extras: sys.exit("no network"))
        with pytest.raises(SystemExit):
            environment.main()
    (folder / "lock.txt").write_text("lock.txt", encoding="utf-8")
    environment.main()
    assert calls == ["create", "install", "create", "again", "install"]


def test_a_damaged_stamp_counts_as_none(project):
    "A stamp that cannot be read means: install."
    _, calls = project
    environment.main()
    environment.STAMP.write_text("{half", encoding="utf-8")
    environment.main()
    assert calls == ["create", "install"] * 2


def test_an_environment_that_was_moved_is_not_used(tmp_path):
    "A Python that thinks that it lives elsewhere, or none at all, is not usable."
    assert not environment.usable(tmp_path / "bin" / "python")
    assert environment.VENV.resolve() != tmp_path
    assert not environment.usable(sys.base_prefix and shutil.which("python3"))


def test_pip_settings_are_said_in_uv_words(monkeypatch):
    "Links, indexes and certificates go on to uv, unless the user has set uv's own variables."
    for name in list(os.environ):
        if name.startswith("UV_") or name == "SSL_CERT_FILE":
            monkeypatch.delenv(name)
    pip = {"find-links": "one\ntwo", "extra-index-url": "https://a.example https://b.example", "cert": "ca.pem", "timeout": "180"}
    env = environment.uv_settings(pip)
    assert env["UV_FIND_LINKS"] == "one,two"
    assert env["UV_INDEX"] == "https://a.example https://b.example" and env["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert env["SSL_CERT_FILE"] == "ca.pem" and "UV_DEFAULT_INDEX" not in env
    monkeypatch.setenv("UV_FIND_LINKS", "mine")
    assert "UV_FIND_LINKS" not in environment.uv_settings(pip)


def test_pip_takes_over_when_uv_fails(tmp_path, monkeypatch):
    "Without uv, or with an uv that fails, pip installs the same pins; when that fails too, it says so."
    seen = []

    def run(*command, **env):
        seen.append("uv" if command[0] == "uv" else "pip")
        return seen[-1] == "pip"

    monkeypatch.setattr(environment, "run", run)
    monkeypatch.setattr(environment, "pip_settings", lambda python: {})
    monkeypatch.setattr(environment, "get_uv", lambda python: "uv")
    assert environment.install("python", "dev") == "pip" and seen == ["uv", "pip"]
    monkeypatch.setattr(environment, "get_uv", lambda python: None)
    assert environment.install("python", "dev") == "pip"
    monkeypatch.setattr(environment, "run", lambda *command, **env: False)
    with pytest.raises(SystemExit, match="The install failed"):
        environment.install("python", "dev")


def make(*arguments, **env):
    "Call make in the project."
    if MAKE is None:
        pytest.skip("make is not installed")
    return subprocess.run([MAKE, "--no-print-directory", *arguments], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True)


def test_make_alone_lists_the_commands():
    "The default target is the list, and every target of it exists."
    listed = make().stdout
    for target in ("handbook", "test", "serve", "lab", "rerun", "lint", "bench", "data", "clean"):
        assert f"make {target} " in listed
        assert make("-n", target).returncode == 0


def test_a_missing_python_is_named():
    "A Python that is not there gives one line that says what to do."
    done = make("python", "PYTHON=python-that-is-not-there")
    assert done.returncode != 0 and "Install Python 3.11 or newer" in done.stdout


def test_an_old_python_is_refused(tmp_path):
    "A Python below 3.11 is named with its version."
    old = tmp_path / "python-old"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.8.1" && exit 0\nexit 1\n', encoding="utf-8")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    done = make("python", f"PYTHON={old}")
    assert done.returncode != 0 and "is Python 3.8.1; the handbook needs 3.11 or newer" in done.stdout


def test_the_servers_run_is_the_readme_command():
    "The server calls what the README tells a reader to call, and stops at the first failure."
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in text and text.rstrip().endswith("make test")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert subprocess.run(["bash", "-n", ".ci/run"], cwd=ROOT).returncode == 0


def test_the_workflow_runs_the_two_commands():
    "The published workflow calls the same two commands on every supported Python."
    import yaml

    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "handbook.yml").read_text(encoding="utf-8"))
    steps = [step.get("run") for step in flow["jobs"]["handbook"]["steps"]]
    assert "make handbook" in steps and "make test" in steps
    assert flow["jobs"]["handbook"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
