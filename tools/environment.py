"""Make the handbook's environment: a virtual environment in `.venv`, filled from the lock.

Runs on a bare Python, so it imports nothing but the standard library. It does nothing when the environment is up to
date: a stamp holds the hash of everything that decides what is installed. The stamp is written last, and an install
that was cut off starts again from an empty environment, so a half-filled one is never used.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "portfolio_ml.json"
UNFINISHED = VENV / "portfolio_ml.unfinished"
INPUTS = ("lock.txt", "settings.ini", "setup.py", "pyproject.toml")
TESTED = ((3, 11), (3, 13))
WARM_UP = "import matplotlib.font_manager, numpy, pandas, sklearn"


def key(extras: str) -> str:
    "Hash what decides the contents of the environment: the lock, the requirements, the Python, the place."
    digest = hashlib.sha256(f"{sys.version_info[:3]} {ROOT} {extras}".encode())
    for name in INPUTS:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()[:16]


def stamp() -> dict:
    "Read the stamp of a finished install; empty when there is none."
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def say(text: str) -> None:
    "Print a line at once."
    print(text, flush=True)


def run(*command, **env) -> bool:
    "Run a command, its output on the screen; tell whether it succeeded."
    return subprocess.run([str(c) for c in command], cwd=ROOT, env={**os.environ, **env}).returncode == 0


class Step:
    """A step of the work, whose time is printed when it is done.

    Parameters
    ----------
    name : str
        What to call it.
    """

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        say(f"-- {self.name}")
        self.start = time.monotonic()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            say(f"   {time.monotonic() - self.start:.1f} s")


def usable(python: Path) -> bool:
    "Tell whether the environment's Python runs, is of this version and thinks that it lives here."
    code = "import sys; print(sys.version_info[:3] == tuple(map(int, sys.argv[1].split('.'))) and sys.prefix)"
    wanted = ".".join(map(str, sys.version_info[:3]))
    try:
        out = subprocess.run([str(python), "-c", code, wanted], capture_output=True, text=True).stdout.strip()
    except OSError:
        return False
    return out != "" and out != "False" and Path(out).resolve() == VENV.resolve()


def create(python: Path) -> None:
    "Make an empty virtual environment, unless a sound one is there. The mark of an unfinished one stands from first to last."
    if UNFINISHED.exists():
        say("   the last install was cut off: starting again from an empty environment")
    elif usable(python):
        return
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    for path in (p for p in VENV.iterdir() if p != UNFINISHED):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    result = subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{result.stdout}{result.stderr}\n`python3 -m venv` failed. On Debian and Ubuntu: apt install python3-venv")


def pip_settings(python: Path) -> dict:
    "Read pip's own settings: where it finds packages on this machine."
    out = subprocess.run([str(python), "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    found = {}
    for name, value in re.findall(r"^(?:global|install|:env:)\.([\w-]+)=(.*)$", out, flags=re.MULTILINE):
        found[name] = ast.literal_eval(value)
    return found


def uv_settings(pip: dict) -> dict:
    "Say pip's settings in uv's words: uv does not read them, and would look for packages elsewhere than pip does."
    env = {"UV_COMPILE_BYTECODE": "1", "UV_LINK_MODE": "copy" if os.name == "nt" else "hardlink"}
    words = {"find-links": ("UV_FIND_LINKS", ","), "index-url": ("UV_DEFAULT_INDEX", " "), "extra-index-url": ("UV_INDEX", " "),
             "trusted-host": ("UV_INSECURE_HOST", " "), "cert": ("SSL_CERT_FILE", " ")}
    for name, (variable, join) in words.items():
        if pip.get(name):
            env[variable] = join.join(pip[name].split())
    if "UV_INDEX" in env:
        env["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # what pip does: the best version from any index
    return {name: value for name, value in env.items() if name not in os.environ}


def get_uv(python: Path):
    "Find uv or install it into the environment; None when it is not to be had."
    here = VENV / "bin" / "uv"
    if not here.exists():
        quiet = subprocess.run([str(python), "-m", "pip", "install", "-q", "uv"], cwd=ROOT, capture_output=True)
        if quiet.returncode:
            return shutil.which("uv")
    return here


def install(python: Path, extras: str) -> str:
    "Install the package, editable, with its extras at the pins of the lock; return the installer that did it."
    target = ["-c", "lock.txt", "-e", f".[{extras}]"]
    uv = get_uv(python)
    if uv and run(uv, "pip", "install", "--python", python, *target, **uv_settings(pip_settings(python))):
        return "uv"
    say("   uv could not do it: going on with pip, which takes some minutes")
    if not run(python, "-m", "pip", "install", "--progress-bar", "off", "-q", *target):
        sys.exit("The install failed; see above. Once the cause is mended, the same command goes on from here.")
    return "pip"


@contextmanager
def only_one():
    "Hold the lock of the environment, so that two calls at once do not fill it together."
    try:
        import fcntl
    except ImportError:
        yield
        return
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("   another call is making the environment: waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def build(extras: str) -> None:
    "Make and fill the environment, and stamp it when everything is there."
    python, wanted = VENV / "bin" / "python", key(extras)
    STAMP.unlink(missing_ok=True)
    with Step("environment: .venv"):
        create(python)
        UNFINISHED.touch()
    with Step("packages: the pins of lock.txt (the first time they are downloaded)"):
        installer = install(python, extras)
    with Step("first imports: fonts indexed, modules compiled"):
        run(python, "-c", WARM_UP)
    scratch = STAMP.with_suffix(".tmp")
    scratch.write_text(json.dumps({"key": wanted, "installer": installer, "extras": extras}) + "\n", encoding="utf-8")
    UNFINISHED.unlink()
    os.replace(scratch, STAMP)


def main() -> None:
    "Read the command line and bring the environment up to date."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extras", nargs="?", default="handbook,dev", help="extras of the package, with commas")
    args = parser.parse_args()
    if not TESTED[0] <= sys.version_info[:2] <= TESTED[1]:
        say("   note: tested on Python 3.11 to 3.13; this is {}.{}".format(*sys.version_info))
    with only_one():
        if stamp().get("key") != key(args.extras) or not (VENV / "bin" / "python").exists():
            build(args.extras)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nInterrupted: the same command starts the environment afresh.")
