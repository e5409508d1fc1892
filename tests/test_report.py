"The report: break-even proved by walking again, verdicts that hold in empty worlds, a page that needs nothing and opens everywhere."

import re
import time
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from webdriver import Browser, find_browser

from portfolio_ml.allocation.baselines import EqualWeight, InverseVolatility
from portfolio_ml.backtest.page import (
    area_chart,
    embed,
    html_cell,
    html_frame,
    html_legend,
    html_table,
    line_chart,
    line_looks,
    slim_svg,
    thin_rows,
)
from portfolio_ml.backtest.record import Backtest, failure_table
from portfolio_ml.backtest.report import (
    Report,
    advantage_table,
    backtest_report,
    compare,
    cost_break_even,
    luck_table,
    mean_break_even,
    read_trials,
    sharpe_at,
    sharpe_break_even,
    sharpe_gaps,
    verdict_sentence,
)
from portfolio_ml.backtest.sections import (
    calendar_table,
    capture_ratios,
    choose_benchmark,
    rate_text,
    read_input,
    rolling_measures,
    worst_periods,
)
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.plotting import INK, figure
from portfolio_ml.core.validation import DataError, InsufficientDataError
from portfolio_ml.measure.inference import deflated_sharpe_ratio, pairwise_sharpe_tests
from portfolio_ml.measure.performance import aggregate_returns, beta, max_drawdown, sharpe_ratio


def record(returns, turnover=0.0, rate=0.0, benchmark=None, failures=(), cash=0.0, assets=2):
    "Make a backtest of given gross returns."
    traded = returns * 0 + turnover
    traded = traded if np.ndim(turnover) == 0 else pd.DataFrame(turnover, returns.index, returns.columns)
    held = {a: pd.DataFrame(1 / assets, returns.index, [f"a{k}" for k in range(assets)]) for a in returns}
    settings = {"window": 252, "min_history": 252, "rebalance": "month", "lag": 0, "assets": assets, "costs": f"{rate:g}"}
    return Backtest(
        gross_returns=returns, net_returns=(1 - rate * traded) * (1 + returns) - 1, costs=rate * traded, turnover=traded, weights=held, targets=held,
        trades=held, failures=failure_table(failures, returns.index), risk_free=pd.Series(cash, returns.index), benchmark=benchmark, settings=settings,
    )


def noise(T=1260, K=3, seed=0, mean=0.0003, common=0.7, names=None):
    "Draw K series with a common part."
    rng = np.random.default_rng(seed)
    x = 0.01 * (common * rng.standard_normal((T, 1)) + (1 - common**2) ** 0.5 * rng.standard_normal((T, K)))
    return pd.DataFrame(mean + x, pd.bdate_range("2012-01-02", periods=T), names or ["1/N", *(f"s{k}" for k in range(1, K))])


@pytest.fixture(scope="module")
def market():
    "Returns of six assets over eight years."
    return noise(2016, 6, 3, 0.0005, 0.5, list("ABCDEF"))


@pytest.fixture(scope="module")
def walk(market):
    "Two allocators on them, after costs."
    return walk_forward({"1/N": EqualWeight(), "inverse": InverseVolatility()}, market, costs=0.002)


@pytest.fixture(scope="module")
def page(walk):
    "Their report."
    return walk.report(title="A < B & C", n_resamples=200)


# what costs would take away


@pytest.mark.parametrize("seed", range(3))
def test_break_even_is_exact(seed):
    "Walked again at the break-even rate, the mean above cash is nothing, whatever drifts in between; so is the lead over a benchmark."
    returns = noise(900, 4, seed, 0.0004, 0.3, list("ABCD"))
    cash = pd.Series(0.00005, returns.index)
    how = dict(window=60, rebalance="week", risk_free=cash)
    allocators = {"1/N": EqualWeight(), "short memory": lambda x: np.maximum(x[-10:].mean(axis=0), 1e-4) / np.maximum(x[-10:].mean(axis=0), 1e-4).sum()}
    first = walk_forward(allocators, returns, costs=0.001, **how)
    table = cost_break_even(first, n_resamples=50)
    for name, rate in table["mean above cash"].items():
        if rate == 0:  # it never earned more than cash
            assert (first.gross_returns[name] - first.risk_free).mean() <= 0
            continue
        again = walk_forward({name: allocators[name]}, returns, costs=rate, **how)
        assert abs((again.net_returns[name] - again.risk_free).mean()) < 1e-14
    assert (table["low, cash"] <= table["mean above cash"]).all() and (table["mean above cash"] <= table["high, cash"]).all()
    lead = table.loc["short memory", "mean above 1/N"]
    if 0 < lead < 0.2:
        again = walk_forward(allocators, returns, costs=lead, **how)
        assert abs((again.net_returns["short memory"] - again.net_returns["1/N"]).mean()) < 1e-14
    assert np.isnan(table.loc["1/N", "mean above 1/N"])
    np.testing.assert_allclose(table["rate paid"], 0.001)


def test_break_even_of_sharpe_ratios():
    "At the rate found the Sharpe ratios after costs are equal."
    x = noise(1000, 2, 1, 0.0002, 0.8)
    x["s1"] += 0.0005
    trades = np.column_stack([np.full(1000, 0.01), np.random.default_rng(0).uniform(0, 0.4, 1000)])
    rate = cost_break_even(record(x, trades, 0.001), n_resamples=50).loc["s1", "Sharpe above 1/N"]
    assert 0 < rate < 0.1
    after = sharpe_ratio((1 - rate * trades) * (1 + x) - 1)
    np.testing.assert_allclose(after["s1"], after["1/N"], rtol=1e-10)


def test_break_even_by_hand():
    "Two gains of 1 %, everything bought in the first: 1.98 %; no advantage, no rate; no trade, any rate."
    two = record(pd.DataFrame({"x": [0.01, 0.01]}, pd.bdate_range("2020", periods=2)), np.array([[1.0], [0.0]]))
    lead, drag = two.gross_returns.mean(), (two.turnover * (1 + two.gross_returns)).mean()
    np.testing.assert_allclose(mean_break_even(lead, drag), 0.02 / 1.01)
    np.testing.assert_array_equal(mean_break_even([-1.0, 1.0, 1.0, 0.0], [1.0, 0.0, -1.0, 1.0]), [0, np.inf, np.inf, 0])
    better, worse = sharpe_at(np.array([0.02, 0.01, 0.03]), np.zeros(3), np.zeros(3)), sharpe_at(np.array([0.01, -0.01, 0.02]), np.zeros(3), np.zeros(3))
    assert sharpe_break_even(better, worse, 0.5) == np.inf and sharpe_break_even(worse, better, 0.5) == 0
    assert [rate_text(x) for x in (np.nan, np.inf, 0, 0.005)] == ["-", "any", "none", "0.50%"]


def test_break_even_scales():
    "Half the turnover, twice the rate; an outside benchmark pays nothing."
    x = noise(800, 2, 5, 0.001)
    full, half = (cost_break_even(record(x, t, 0.001), n_resamples=50) for t in (0.02, 0.01))
    np.testing.assert_allclose(half["mean above cash"], 2 * full["mean above cash"])
    outside = (x["1/N"] - 0.0005).rename("index")
    found = cost_break_even(record(x, 0.02, 0.001), outside, n_resamples=50).loc["1/N", "mean above index"]
    np.testing.assert_allclose(found, 0.0005 / (0.02 * (1 + x["1/N"])).mean())


# luck


def test_gaps_agree_with_inference():
    "Differences, errors and single p values are those of the chapter on inference; corrected ones are never smaller."
    x = noise(1000, 4, 2)
    first, second = np.triu_indices(4, 1)
    ours = sharpe_gaps(x, first, second, 252.0, n_resamples=400)
    theirs = pairwise_sharpe_tests(x, method="bootstrap", n_resamples=400)
    np.testing.assert_allclose(ours["difference"], theirs["difference"])
    np.testing.assert_allclose(ours["p"], theirs["p value"], atol=1e-12)
    assert (ours["corrected p"] >= ours["p"]).all() and (ours["high"] - ours["low"] >= theirs["high"] - theirs["low"] - 1e-12).all()


def test_luck_of_the_paper():
    "The deflated Sharpe ratio of the 2014 paper, .9004, comes out of the table for returns with exactly its moments."
    T, skew, kurt, target = 1250, -3.0, 10.0, 2.5 / 250**0.5
    rng = np.random.default_rng(0)
    x = pd.DataFrame({"best": 0.01 * (target + rng.standard_normal(T))}, pd.bdate_range("2015", periods=T))
    luck = luck_table(x, 100, 0.5 / 250, 250.0)
    one, s = x["best"], luck.loc["best"]
    from portfolio_ml.measure.performance import kurtosis, skewness

    expected = deflated_sharpe_ratio(one.mean() / one.std(), T, 100, 0.5 / 250, skewness(one), kurtosis(one))
    np.testing.assert_allclose(s["deflated"], expected)
    np.testing.assert_allclose(s["best by luck"] / 250**0.5, 0.1132, atol=6e-5)
    assert abs(deflated_sharpe_ratio(target, T, 100, 0.5 / 250, skew, kurt) - 0.9004) < 6e-5


def test_trials():
    "Trials are the allocators, a table, or a number; what cannot be is refused."
    x = noise(500, 3)
    study = read_input(record(x))
    number, variance, matrix, _ = read_trials(study)
    assert number == 3 and matrix.shape == x.shape
    np.testing.assert_allclose(variance, sharpe_ratio(x, annualise=False).var(ddof=1))
    assert read_trials(study, 50)[:2] == (50, variance) and read_trials(study, 50)[2] is None
    assert read_trials(study, 50, 0.252)[1] == pytest.approx(0.001)
    assert read_trials(study, noise(800, 20, 9))[0] == 20
    lonely = read_input(record(x[["1/N"]]))
    assert read_trials(lonely)[:3] == (1, 0.0, None)
    for wrong, words in ((2, "2 variants"), ("many", "DataFrame"), (True, "DataFrame"), (0, "0 variants")):
        with pytest.raises(DataError, match=words):
            read_trials(study, wrong)
    with pytest.raises(DataError, match="sharpe_variance"):
        read_trials(lonely, 20)


def test_a_headline_that_counts():
    "The best of a hundred worthless strategies is luck when they are told, and not when they are hidden."
    tried = noise(1000, 100, 5, 0.0, 0.0)
    best = sharpe_ratio(tried).idxmax()
    alone, told = (backtest_report(record(tried[[best]]), trials=t, n_resamples=100) for t in (None, tried))
    assert "above zero by more than luck" in alone.headline[0] and "is not told from what luck gives to the best of the 100" in told.headline[0]
    assert told.tables["overfitting"].loc["PBO", "value"] > 0.2 and "overfitting" in alone.missing


def test_false_claims_in_empty_worlds():
    "Among 200 worlds of five strategies with the same Sharpe ratio, someone is told from the benchmark in at most 5 %, within Monte Carlo error."
    claims, n = 0, 200
    for seed in range(n):
        x = noise(504, 5, 100 + seed, 0.0003, 0.6)
        verdicts = advantage_table(read_input(record(x), n_resamples=200))["verdict"]
        claims += (verdicts != "not told apart").any()
    assert claims / n <= 0.05 + 3 * (0.05 * 0.95 / n) ** 0.5


def test_a_planted_difference_is_told():
    "A strategy with a Sharpe ratio of two more than the rest is told apart, by name, and the others are not."
    x = noise(1260, 4, 7, 0.0002, 0.5)
    x["s2"] += 2 * 0.01 / 252**0.5
    assert headline(x).startswith("Of 3 allocators compared with 1/N over 1,260 days, one has a Sharpe ratio above it by more than luck gives: s2")
    x["s1"] -= 3 * 0.01 / 252**0.5
    assert "above it by more than luck gives: s2" in headline(x) and "one has a Sharpe ratio below it by more than luck gives: s1" in headline(x)
    assert headline(x[["1/N", "s2"]]).startswith("The Sharpe ratio of s2 is above that of 1/N by more than luck gives: difference +")
    assert headline(x[["1/N", "s3"]]).startswith("The Sharpe ratio of s3 is not told from that of 1/N")


def headline(x):
    "Write the first sentence about given returns."
    study = read_input(record(x), n_resamples=300)
    return verdict_sentence(study, advantage_table(study))


# tables


def test_measures_of_the_report(walk, page):
    "Estimates are the summary's; intervals contain them."
    estimates = page.tables["measures"].xs("estimate", axis=1, level=1)
    summary = walk.summary()
    np.testing.assert_allclose(estimates.loc[["Sharpe ratio", "Sortino ratio", "Calmar ratio"]], summary.loc[["Sharpe ratio", "Sortino ratio", "Calmar ratio"]])
    pd.testing.assert_frame_equal(page.to_frame(), page.tables["measures"])
    assert page.missing == {} and page.headline[0] in page.summary() and "bytes" in repr(page)


def test_rolling_capture_calendar(walk):
    "Windows, captures and months are what the performance functions give for each."
    study = read_input(walk, n_resamples=100)
    rolled, rows = rolling_measures(study, 1.0)
    tail = walk.net_returns.iloc[-rows:]
    np.testing.assert_allclose(rolled["Sharpe ratio"].iloc[-1], sharpe_ratio(tail))
    np.testing.assert_allclose(rolled["beta to 1/N"]["inverse"].iloc[-1], beta(tail["inverse"], tail["1/N"]))
    assert len(rolled["volatility"]) == len(walk.net_returns) - rows + 1
    months = aggregate_returns(walk.net_returns, "month")
    up = months[months["1/N"] > 0]
    growth = (1 + up).prod() ** (1 / len(up)) - 1
    np.testing.assert_allclose(capture_ratios(study).loc["Up capture ratio", "inverse"], growth["inverse"] / growth["1/N"])
    grid = calendar_table(walk.net_returns["1/N"])
    full = grid.index[2]
    np.testing.assert_allclose((1 + grid.loc[full, "Jan":"Dec"]).prod() - 1, grid.loc[full, "Year"])
    assert np.isnan(calendar_table(walk.net_returns["1/N"].iloc[45:])["Jan"].iloc[0])
    assert worst_periods(walk.net_returns, "inverse", study.benchmark).iloc[0, 0] == walk.net_returns["inverse"].min()
    with pytest.raises(InsufficientDataError, match="window"):
        rolling_measures(study, 50.0)


def test_benchmarks(walk):
    "The benchmark is the backtest's own, its 1/N, an allocator by name, or a series; what does not fit is refused."
    net = walk.net_returns
    assert choose_benchmark(walk).name == "1/N" and choose_benchmark(walk, "inverse").name == "inverse"
    assert choose_benchmark(record(net[["inverse"]])) is None
    outside = (net["1/N"] * 0.5).rename("index")
    assert choose_benchmark(record(net, benchmark=outside)).name == "index"
    assert choose_benchmark(walk, outside.rename(None)).name == "benchmark"
    with pytest.raises(DataError, match="lacks"):
        choose_benchmark(walk, outside.iloc[:-3])
    with pytest.raises(DataError, match="missing or infinite"):
        choose_benchmark(walk, outside.mask(outside > 0.01))
    for wrong in ("HRP", 3, np.ones(5)):
        with pytest.raises(DataError, match="benchmark"):
            choose_benchmark(walk, wrong)


def test_refusals(walk):
    "Nonsense is refused by its name."
    for how, words in ((dict(allocator="HRP"), "HRP"), (dict(allocator=[]), "nobody"), (dict(confidence=0.2), "confidence"), (dict(n_resamples=20), "at least 40")):
        with pytest.raises(DataError, match=words):
            backtest_report(walk, **({"n_resamples": 50} | how))
    with pytest.raises(DataError, match="Backtest"):
        backtest_report(walk.net_returns)
    with pytest.raises(InsufficientDataError, match="at least 20"):
        backtest_report(record(noise(10, 2)))


# the page


class Balanced(HTMLParser):
    "Follow elements as they open and close; remember identifiers, headings and pictures."

    EMPTY = {"meta", "img", "path", "use", "br", "rect", "circle", "line", "polyline", "polygon"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.headings, self.silent = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        "Note an element that opens."
        known = dict(attrs)
        self.open += [] if tag in self.EMPTY else [tag]
        self.ids += [known["id"]] if "id" in known else []
        self.headings += [int(tag[1])] if re.fullmatch(r"h[1-6]", tag) else []
        self.silent += (tag == "svg" and not known.get("aria-label")) + (tag == "img" and not known.get("alt")) + (tag == "th" and "scope" not in known)

    def handle_startendtag(self, tag, attrs):
        "Note an element that is empty."
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_endtag(self, tag):
        "Check that the last one open closes."
        if tag not in self.EMPTY:
            assert self.open.pop() == tag, tag


def check_page(html):
    "Read a page: balanced, self-contained, headings in order, words for every picture, no identifier twice."
    reader = Balanced()
    reader.feed(html)
    assert reader.open == [] and reader.silent == 0 and len(reader.ids) == len(set(reader.ids))
    assert reader.headings[0] == 1 and reader.headings.count(1) == 1 and max(np.diff(reader.headings)) <= 1
    for foreign in ("http:", "https:", "//www", "<script", "@import", "<link", "javascript:", INK):
        assert foreign not in html, foreign
    assert not set(re.findall(r'(?:url\(#|href="#)([^)"]+)', html)) - set(reader.ids)
    assert all(x.startswith("data:image/png;base64,") for x in re.findall(r'src="([^"]+)"', html))
    assert "nan" not in re.sub(r"<style>.*?</style>", "", html).replace("financ", "").lower().split() and ">nan<" not in html


def test_the_page_is_whole(page, tmp_path):
    "It is balanced and needs nothing; it is written whole; in a notebook it stands in a frame of its own; names are escaped."
    check_page(page.html)
    assert "A &lt; B &amp; C" in page.html and "prefers-color-scheme:dark" in page.html and "@media print" in page.html
    path = page.save(tmp_path / "page.html")
    assert path.read_bytes() == page.html.encode() and list(tmp_path.iterdir()) == [path]
    frame = page._repr_html_()
    assert frame.startswith("<iframe sandbox") and "<style" not in frame and frame.count("<") == 2
    assert isinstance(page, Report)
    for section in ("Is it luck?", "Wealth", "Measures", "Against 1/N", "Over time", "Costs and turnover", "Years", "Allocators one by one", "Failures", "What was run"):
        assert f"<h2>{section}</h2>" in page.html, section


def test_the_same_page_twice():
    "The same backtest and seed give the same page, to the byte."
    a, b = (record(noise(100, 1)).report(n_resamples=50).html for _ in range(2))
    assert a == b


@pytest.mark.parametrize("case", ["one", "monthly", "numbers", "cash", "short positions", "ruin", "failures", "short", "periods", "hours", "strange names"])
def test_every_kind_of_backtest(case):
    "One allocator, months, no dates, cash only, short positions, ruin, failures, a month of days: a whole page each time."
    x, how = noise(400, 2, 11), {}
    if case == "one":
        b = record(x[["1/N"]], 0.01, 0.001)
    elif case == "monthly":
        y = x[:120].set_axis(pd.date_range("2010-01-31", periods=120, freq="ME"))
        b = record(y, 0.01, 0.001)
    elif case == "numbers":
        b = record(x.reset_index(drop=True), 0.01, 0.001)
    elif case == "cash":
        b = record(x.assign(s1=0.0), 0.0, 0.0)
    elif case == "short positions":
        b = record(x)
        b.weights["s1"].iloc[:, 0] = -0.5
    elif case == "ruin":
        x.iloc[300:, 1] = 0.0
        x.iloc[300, 1] = -1.0
        b = record(x, 0.01, 0.001)
    elif case == "failures":
        b = record(x, failures=[("s1", x.index[5], "SolverError", "no <b>answer</b>", "previous")] * 30)
    elif case == "short":
        b = record(x[:21])
    elif case == "periods":
        b = record(x[:120].set_axis(pd.period_range("2010-01", periods=120, freq="M")))
    elif case == "hours":
        b, how = record(x.set_axis(pd.date_range("2020", periods=400, freq="h"))), {"periods_per_year": 8760}
    else:
        b = record(x.set_axis(['<script>"', "a" * 80], axis=1))
    report = backtest_report(b, n_resamples=60, **how)
    check_page(report.html)
    assert report.headline and len(report.html) < 500_000
    if case == "failures":
        assert "no &lt;b&gt;answer" in report.html and "30 failures" in report.summary()
    if case == "one":
        assert "verdicts" in report.missing and report.headline[0].startswith("1/N has a Sharpe ratio of")
    if case == "cash":
        assert "verdicts" in report.missing and "Not computed" in report.html


def test_parts_of_a_page():
    "Cells, legends, thinning, slimming and the choice of the smaller picture."
    assert html_cell("0.5 [0.1, 0.9]") == "<td>0.5<small>0.1, 0.9</small></td>" and html_cell("x", np.nan) == "<td>x</td>" and html_cell(None) == "<td></td>"
    assert html_cell("x", 0.5) == '<td class="cool3">x</td>' and html_cell("x", -9.0) == '<td class="hot4">x</td>'
    table = html_table(pd.DataFrame({"a": [1]}, [pd.Timestamp("2020-03-01")]), "c <d>")
    assert '<th scope="row">2020-03-01</th>' in table and "c &lt;d&gt;" in table
    looks = line_looks([f"n{k}" for k in range(20)], "n3")
    assert len({str(v) for v in looks.values()}) == 20 and html_legend(looks, ["n1"]).count("<li>") == 1
    lines = pd.DataFrame(np.random.default_rng(0).standard_normal((5000, 2)), columns=["x", "y"])
    low = thin_rows(lines, 100, "min")
    np.testing.assert_array_equal(low.min(), lines.min())
    assert thin_rows(lines, 100).index[-1] == 4999 and len(thin_rows(lines.iloc[:1])) == 1
    with pytest.raises(DataError, match="keep"):
        thin_rows(lines, keep="max")
    fig, ax = figure()
    ax.scatter(*np.random.default_rng(0).standard_normal((2, 6000)))
    assert "data:image/png" in embed(fig, "dots", "Dots", "k")
    held = pd.DataFrame(np.random.default_rng(0).dirichlet(np.ones(9), 50), columns=list("abcdefghi"))
    for chart in (area_chart(held, "t", "a", "p", list("abc")), area_chart(held - 0.2, "t", "a", "p", list("abc")), line_chart(lines, "t", "a", "q", line_looks(lines))):
        assert "xmlns" not in chart and "<style" not in chart and INK not in chart and "1970" not in chart
    assert "sandbox" in html_frame("<p>", "t") and "&lt;p&gt;" in html_frame("<p>", "t")
    assert slim_svg('<?xml?><svg viewBox="0 0 1 1" xmlns="http://x"><g id="a"/></svg>', "k", 'a"b').startswith('<svg viewBox="0 0 1 1" role="img" aria-label="a&quot;b">')


# the league


def test_league():
    "Every pair counts; a planted winner wins; a base compares less; spans are cut to common dates."
    x = noise(1000, 4, 13, 0.0002, 0.5)
    x["s2"] += 2.5 * 0.01 / 252**0.5
    league = compare(record(x), n_resamples=300)
    assert league.table.index[0] == "s2" and len(league.pairs) == 6 and league.table.loc["s2", "better than"] == 3
    assert (league.table["worse than"].sum(), bool(league.table.loc["s2", "in set"])) == (3, True)
    assert not league.table["in set"].drop("s2").any() and "3 of 6 pairs are told apart" in league.summary()
    np.testing.assert_allclose(league.table["Sharpe"], sharpe_ratio(x)[league.table.index])
    np.testing.assert_allclose(league.table["drawdown"], max_drawdown(x)[league.table.index])
    assert len(compare(record(x), base="1/N", n_resamples=100).pairs) == 3
    late = compare({"a": record(x), "b": record(x[["s1"]].iloc[400:])}, n_resamples=100)
    assert list(late.table.index.sort_values()) == ["a: 1/N", "a: s1", "a: s2", "a: s3", "b"] and "600 common dates" in late.span
    assert late.pairs.loc[("a: s1", "b"), "corrected p"] == 1 and late.pairs.loc[("a: s1", "b"), "difference"] == 0
    assert "<table" in league._repr_html_() and "s2" in repr(league) and league.to_frame() is league.table
    assert "told apart" in league.plot().get_title(loc="left")
    for wrong, words in ((record(x[["s1"]]), "needs two"), ([record(x), record(x)], "dict"), ({"a": x}, "not a Backtest"),
                         ([record(x), record(noise(50, 1, 0, names=["z"]).set_axis(pd.bdate_range("1990", periods=50)))], "in common")):
        with pytest.raises(DataError, match=words):
            compare(wrong)
    with pytest.raises(DataError, match="base"):
        compare(record(x), base="HRP")


def test_false_claims_of_the_league():
    "Among 150 leagues of five equals, any of ten pairs is told apart in at most 5 %, within Monte Carlo error."
    claims, n, pairs = 0, 150, np.triu_indices(5, 1)
    for seed in range(n):
        table = sharpe_gaps(noise(504, 5, 500 + seed), *pairs, 252.0, n_resamples=200)
        claims += bool((table["corrected p"] <= 0.05).any())
    assert claims / n <= 0.05 + 3 * (0.05 * 0.95 / n) ** 0.5


# size, speed, browser


@pytest.fixture(scope="module")
def ten():
    "Ten allocators over 33 years, twenty assets."
    x = noise(8316, 10, 17, 0.0004, 0.8)
    b = record(x, 0.004, 0.001, assets=20)
    rng = np.random.default_rng(0)
    for name in b.weights:
        b.weights[name][:] = rng.dirichlet(np.ones(20), 8316)
    return b


def test_ten_allocators_in_seconds(ten, tmp_path):
    "Thirty-three years and ten allocators: under 10 s of one core and 2 MB."
    start = time.process_time()
    report = backtest_report(ten)
    assert time.process_time() - start < 10 and len(report.html.encode()) < 2_000_000
    check_page(report.html)
    report.save(tmp_path / "ten.html")
    if find_browser() is None:
        pytest.skip("no Chromium with its driver")
    look(tmp_path / "ten.html")


def look(path):
    "Open a page wide and narrow, light and dark: no request to anywhere, nothing beside the page, ink that differs from paper."
    for dark in (False, True):
        browser = Browser(*find_browser(), dark=dark)
        try:
            for width in (1280, 390):
                browser.resize(width, 900)
                browser.open(path.as_uri())
                assert browser.run("return document.documentElement.scrollWidth") <= width
                stays = """return [...document.querySelectorAll('main *:not(svg *)')].filter(e => e.getBoundingClientRect().right > innerWidth + 1
                    && !e.closest('.box') && e.getBoundingClientRect().width).map(e => e.outerHTML.slice(0, 90)).slice(0, 3)"""
                assert browser.run(stays) == []
                assert browser.run("return [...document.querySelectorAll('.box')].some(e => e.scrollWidth > e.clientWidth)")
                small = browser.run("return Math.min(...[...document.querySelectorAll('td, th, p, dd')].filter(e => e.offsetParent).map(e => parseFloat(getComputedStyle(e).fontSize)))")
                assert small >= 11
            ink, paper = browser.run("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
            light = [sum(map(int, re.findall(r"\d+", c)[:3])) for c in (ink, paper)]
            assert (light[0] > light[1]) == dark and abs(light[0] - light[1]) > 400
            wanted = browser.run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).map(e => e.name)")
            assert wanted == []
        finally:
            browser.close()
