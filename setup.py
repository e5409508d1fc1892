"Build the package from settings.ini: name, version, requirements and one extra for each `*_requirements` key."

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
config = ConfigParser()
config.read(ROOT / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]
suffix = "_requirements"
extras = {key.removesuffix(suffix): value.split() for key, value in cfg.items() if key.endswith(suffix)}
readme = ROOT / "README.md"

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=readme.read_text(encoding="utf-8") if readme.exists() else cfg["description"],
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    license="Apache-2.0",
    keywords=cfg["keywords"].split(),
    python_requires=f">={cfg['min_python']}",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Financial and Insurance Industry",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        "Topic :: Office/Business :: Financial :: Investment",
        "Topic :: Scientific/Engineering :: Mathematics",
    ],
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    packages=[*find_packages(include=["portfolio_ml", "portfolio_ml.*"]), "portfolio_ml._bundled"],
    # The bundled data sets lie at the top level, where a reader looks for them; a wheel carries them inside the package.
    package_dir={"portfolio_ml._bundled": "data"},
    package_data={"portfolio_ml._bundled": ["*.csv.gz", "*.json", "*.md"]},
    zip_safe=False,
)
