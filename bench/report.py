"The report of ten allocators over 33 years of 20 stocks, its seconds and bytes; beside it quantstats' HTML report of the same returns, one strategy at a time."

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np

from bench.allocators import ours
from bench.harness import Case, once


def ten():
    "Walk the ten, a decision every 21 rows, at ten basis points."
    from portfolio_ml.backtest.walk_forward import walk_forward
    from portfolio_ml.data.catalog import load_returns

    return walk_forward(ours(), load_returns("us20"), rebalance=21, costs=0.001)


def only(backtest, name):
    "Keep one allocator of a backtest."
    from dataclasses import replace

    tables = {t: getattr(backtest, t)[[name]] for t in ("gross_returns", "net_returns", "costs", "turnover")}
    return replace(backtest, **tables, **{t: {name: getattr(backtest, t)[name]} for t in ("weights", "targets", "trades")})


def theirs(returns) -> str:
    "Let quantstats write its report of one strategy."
    import matplotlib
    import quantstats

    matplotlib.use("agg")
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "page.html"
        quantstats.reports.html(returns, output=str(path), title="one strategy")
        return path.read_text(encoding="utf-8")


def cases() -> list[Case]:
    "List the comparison of one strategy; the two pages are different pages, so only that both are there is checked."
    backtest = ten()
    one = only(backtest, "minimum variance")

    def both_there(a, b):
        return 0.0 if "</html>" in a and "</html>" in b else np.inf

    return [
        Case("ten allocators, 33 years, 1,000 resamples", lambda: backtest.report().html, rounds=3),
        Case("one strategy, 33 years", lambda: one.report().html, lambda: theirs(one.net_returns["minimum variance"]), "quantstats", both_there, rounds=3),
    ]


def notes() -> list[str]:
    "Say how large the pages are, and what they hold."
    backtest = ten()
    seconds, report = once(backtest.report)
    one = only(backtest, "minimum variance")
    page, other = one.report().html, theirs(one.net_returns["minimum variance"])
    return [
        f"Ten allocators: {seconds:.1f} s, {len(report.html.encode()):,} bytes; target under 10 s and 2,000,000 bytes.",
        f"One strategy: ours {len(page.encode()):,} bytes, addresses of other places in it {page.count('http')}; "
        f"quantstats {len(other.encode()):,} bytes, addresses {other.count('http')}.",
    ]
