"""Tax rules, netting and what is left after tax: errors, edges, official numbers, conservation, witnesses."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_ml.allocation.baselines import EqualWeight
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.validation import DataError, MissingDataError
from portfolio_ml.tax.after_tax import (
    accrual_rate,
    after_tax_return,
    deferral_value,
    effective_tax_rate,
    income_by_year,
    liquidation_value,
    net_capital_gains,
    tax_backtest,
    tax_drag,
    tax_years,
    unrealized_gains,
    wealth_if_realised,
    wealth_if_waited,
)
from portfolio_ml.tax.lots import TaxLots
from portfolio_ml.tax.netting import tax_of_year
from portfolio_ml.tax.rules import (
    US_FLOORS,
    TaxRules,
    TaxSchedule,
    bracket_tax,
    flat_rules,
    german_rules,
    next_rate,
    printed_tax,
    tax_owed,
    us_rules,
)

CENTS = st.integers(-2_000_000, 2_000_000).map(lambda c: c / 100)
LOSSES = st.integers(0, 2_000_000).map(lambda c: c / 100)


def worksheet(line_7, line_15, limit, other_income):
    "Give deduction and carryovers by the thirteen lines."
    line_21 = min(limit, max(-(line_7 + line_15), 0))
    used = min(line_21, max(other_income, 0))
    short = max(max(-line_7, 0) - used - max(line_15, 0), 0)
    long = max(max(-line_15, 0) - max(line_7, 0) - max(used - max(-line_7, 0), 0), 0)
    return line_21, short, long


@settings(max_examples=300, deadline=None)
@given(CENTS, CENTS, LOSSES, LOSSES, st.sampled_from([0.0, 1500.0, 3000.0, np.inf]), st.none() | CENTS)
def test_netting_conserves_and_follows_the_worksheet(short, long, carry_short, carry_long, limit, income):
    net = net_capital_gains(short, long, carry_short, carry_long, limit, other_income=income)
    came = short + long - carry_short - carry_long
    assert came == pytest.approx(net.taxable_short + net.taxable_long - net.used - net.carry_short - net.carry_long, abs=1e-6)
    lines = worksheet(short - carry_short, long - carry_long, limit, np.inf if income is None else income)
    assert (net.deduction, net.carry_short, net.carry_long) == pytest.approx(lines, abs=1e-6)
    assert min(net.taxable_short, net.taxable_long, net.carry_short, net.carry_long, net.deduction) >= 0
    assert net.taxable_short <= max(short, 0) + 1e-9 and net.taxable_long <= max(long, 0) + 1e-9
    assert net.taxable_short + net.taxable_long == 0 or net.deduction == net.carry_short == net.carry_long == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CENTS, CENTS), min_size=1, max_size=8), st.sampled_from(["us", "germany", "flat"]))
def test_years_hand_everything_on(rows, which):
    rules = {"us": us_rules(2024), "germany": german_rules(), "flat": flat_rules(0.4, 0.2)}[which]
    table = pd.DataFrame(rows, columns=["short", "long"], index=range(2010, 2010 + len(rows)))
    out = tax_years(table, rules, other_income=60_000)
    left = out[["carry_short", "carry_long"]].iloc[-1].sum()
    assert table.to_numpy().sum() == pytest.approx(out[["taxable_short", "taxable_long"]].to_numpy().sum() - out["used"].sum() - left, abs=1e-5)


def test_netting_takes_arrays_as_it_takes_numbers():
    rng = np.random.default_rng(3)
    short, long = rng.normal(0, 5000, (2, 5, 4))
    net = net_capital_gains(short, long, 100.0, 200.0)
    for at in np.ndindex(5, 4):
        one = net_capital_gains(short[at], long[at], 100.0, 200.0)
        assert [getattr(net, k)[at] for k in vars(one)] == pytest.approx(list(vars(one).values()))
    assert isinstance(one.deduction, float)
    with pytest.raises(AttributeError):
        one.deduction = 0.0


@pytest.mark.parametrize(("given", "expected"), [
    (dict(short=-7000, long=0), (3000, 0, 0, 4000, 0)),                 # Publication 544, 550
    (dict(short=0, long=-7000), (3000, 0, 0, 0, 4000)),
    (dict(short=-2000, long=0), (2000, 0, 0, 0, 0)),
    (dict(short=-15500, long=7100), (3000, 0, 0, 5400, 0)),
    (dict(short=0, long=-3450), (3000, 0, 0, 0, 450)),                  # training of preparers, 2016
    (dict(short=5450, long=10400, carry_long=500), (0, 5450, 9900, 0, 0)),
    (dict(short=-250, long=10400, carry_short=300, carry_long=500), (0, 0, 9350, 0, 0)),
    (dict(short=300 - 1800, long=6000 - 4000), (0, 0, 500, 0, 0)),      # section 1.1202-1 of the regulations
    (dict(short=-2000, long=-5000), (3000, 0, 0, 0, 4000)),             # short-term first
    (dict(short=1000, long=-5000), (3000, 0, 0, 0, 1000)),
    (dict(short=-5000, long=1000, limit=1500), (1500, 0, 0, 2500, 0)),
    (dict(short=0, long=0, carry_short=4000, carry_long=10000), (3000, 0, 0, 1000, 10000)),
    (dict(short=0, long=0), (0, 0, 0, 0, 0)),
])
def test_known_years(given, expected):
    net = net_capital_gains(**given)
    assert (net.deduction, net.taxable_short, net.taxable_long, net.carry_short, net.carry_long) == expected


@pytest.mark.parametrize(("bad", "error", "word"), [
    (dict(short=np.nan), MissingDataError, "short"), (dict(long=[0, np.nan]), MissingDataError, "long"), (dict(carry_short=-1), DataError, "carry_short"),
    (dict(carry_long=[-1, 0]), DataError, "carry_long"), (dict(limit=-1), DataError, "limit"), (dict(short=np.inf), DataError, "short"),
    (dict(short="x"), DataError, "short"), (dict(other_income=np.nan), MissingDataError, "other_income"),
])
def test_netting_refuses_by_name(bad, error, word):
    with pytest.raises(error, match=word):
        net_capital_gains(**({"short": 0.0, "long": 0.0} | bad))


def test_tax_tables_of_several_years():
    low = {"single": 9225, "joint": 18450, "separate": 9225, "head": 13150}
    rows = {25200: [3323, 2861, 3323, 3126], 25250: [3330, 2869, 3330, 3134], 25300: [3338, 2876, 3338, 3141], 25350: [3345, 2884, 3345, 3149]}
    for income, row in rows.items():
        assert [float(printed_tax(income + 49, TaxSchedule((0, f), (0.10, 0.15)))) for f in low.values()] == row
    assert float(printed_tax(25_300, us_rules(2023, "joint").ordinary)) == 2599
    assert float(printed_tax(25_300, us_rules(2024, "joint").ordinary)) == 2575
    assert printed_tax(100_000, us_rules(2024).ordinary) == bracket_tax(100_000, us_rules(2024).ordinary)


# regular tax and surtax by an independent library, Tax-Calculator 6.8.0; the fifth number is the standard deduction
INDEPENDENT = [
    (2023, "separate", 327347.0, 9909.0, 13850, 88447.75, 376.54),
    (2023, "separate", 131928.0, 16925.0, 13850, 27601.47, 643.15),
    (2023, "head", 106830.0, 72995.0, 20800, 28382.45, 23.75),
    (2023, "joint", -4410.0, 49132.0, 27700, 0.0, 0.0),
    (2024, "head", 638378.0, 28331.0, 21900, 198361.06, 1076.58),
    (2024, "separate", 176827.0, 69060.0, 14600, 45839.98, 2624.28),
    (2024, "separate", 144405.0, 39309.0, 14600, 33596.05, 1493.74),
    (2024, "single", 162224.0, 257285.0, 14600, 70569.01, 8896.14),
    (2024, "separate", 159476.0, 18315.0, 14600, 34063.99, 695.97),
    (2024, "separate", 361843.0, 125498.0, 14600, 122119.4, 4768.92),
    (2025, "separate", 158523.0, 1136624.0, 15750, 251143.47, 43191.71),
    (2025, "separate", 240044.0, 21729.0, 15750, 57136.43, 825.7),
    (2025, "joint", 128573.0, 101370.0, 31500, 33319.56, 434.83),
    (2025, "head", 941.0, 41552.0, 23625, 94.1, 0.0),
    (2023, "head", 74059.0, 4068.0, 20800, 10604.18, 0.0),
    (2023, "separate", 40750.0, 4840.0, 13850, 4814.75, 0.0),
    (2023, "head", 27227.0, 36601.0, 20800, 3564.94, 0.0),
    (2023, "head", 78452.0, 63936.0, 20800, 20550.84, 0.0),
    (2023, "single", 21376.0, 44951.0, 13850, 5600.42, 0.0),
    (2023, "single", 72897.0, 3109.0, 13850, 11811.19, 0.0),
    (2023, "joint", 151329.0, 25725.0, 27700, 27766.13, 0.0),
    (2023, "joint", -4410.0, 49132.0, 27700, 0.0, 0.0),
]


@pytest.mark.parametrize(("year", "status", "ordinary", "preferred", "deductions", "tax", "surtax"), INDEPENDENT)
def test_stack_agrees_with_an_independent_library(year, status, ordinary, preferred, deductions, tax, surtax):
    rules = us_rules(year, status)
    assert float(tax_owed(rules, ordinary, preferred, investment=0.0)) == pytest.approx(tax, abs=0.011)
    assert float(tax_owed(rules, ordinary, preferred, deductions=deductions)) == pytest.approx(tax + surtax, abs=0.021)


def test_stack_is_monotone_and_additive():
    for year, status in US_FLOORS:
        rules, income = us_rules(year, status), np.linspace(0, 900_000, 1801)
        assert (np.diff(tax_owed(rules, income)) > 0).all()
        assert (tax_owed(rules, income, 50_000, investment=0.0) <= bracket_tax(income + 50_000, rules.ordinary) + 1e-9).all()
    a, b = bracket_tax(30_000, rules.ordinary, 20_000), bracket_tax(10_000, rules.ordinary, 50_000)
    assert a + b == pytest.approx(float(bracket_tax(40_000, rules.ordinary, 20_000)))
    assert bracket_tax(-5, rules.ordinary) == 0 and tax_owed(rules, -10_000, 4_000) == 0


def test_surtax_takes_the_smaller_part():
    rules = us_rules(2025, "joint")
    with_, without = (tax_owed(rules, 240_000, 30_000, investment=i) for i in (30_000, 0))
    assert with_ - without == pytest.approx(0.038 * 20_000)
    assert tax_owed(rules, 240_000, 30_000, deductions=31_500) - without == pytest.approx(0.038 * 30_000)
    assert next_rate(rules, "short", 300_000) - next_rate(rules, "ordinary", 300_000) == pytest.approx(0.038)


@pytest.mark.parametrize("make", [
    lambda: TaxSchedule((0, 1), (0.1,)), lambda: TaxSchedule((1,), (0.1,)), lambda: TaxSchedule((0, 2, 1), (0.1, 0.2, 0.3)), lambda: TaxSchedule((0,), (1.0,)),
    lambda: TaxSchedule((0,), (np.nan,)), lambda: us_rules(2022), lambda: us_rules(2025, "widow"), lambda: flat_rules(0.2, 0.1, surtax=-0.1),
    lambda: flat_rules(0.2, 0.1, allowance=np.nan), lambda: flat_rules(0.2, 0.1, wash_window=1.5), lambda: flat_rules(0.2, 0.1, holding_years=0),
    lambda: flat_rules(0.2, 0.1, ordinary=0.3), lambda: flat_rules(0.2, 0.1, methods=("best",)), lambda: flat_rules(0.2, 0.1, nothing=1),
    lambda: tax_of_year("US"), lambda: tax_of_year(us_rules(), qualified=5.0), lambda: tax_of_year(us_rules(), dividends=-5.0),
    lambda: next_rate(us_rules(), "wages"), lambda: tax_years(pd.DataFrame({"gain": [1.0]}), us_rules()),
    lambda: after_tax_return(0, 1), lambda: effective_tax_rate(1, 1, 1), lambda: accrual_rate(-0.1, 0.0),
])
def test_errors_are_typed(make):
    with pytest.raises(DataError):
        make()


def test_germany():
    rules = german_rules()
    assert tax_of_year(rules, short=3_000, long=8_000).tax == pytest.approx(10_000 * 0.26375)
    bad = tax_of_year(rules, long=-8_000, dividends=5_000, other_income=90_000)
    assert bad.tax == pytest.approx(4_000 * 0.26375) and bad.net.carry_short == 8_000 and bad.net.deduction == 0
    funds = tax_of_year(rules, interest=-6_000, dividends=2_000)
    assert funds.tax == 0 and funds.carry_other == 4_000
    years = pd.DataFrame({"short": [0, 5_000], "interest": [-6_000, 0], "dividends": [2_000, 0]}, index=[2023, 2024])
    assert tax_years(years, rules)["tax"].tolist() == [0, 0]          # 5,000 less 4,000 carried less the allowance
    assert tax_years(years, german_rules(allowance=0.0))["tax"].iloc[1] == pytest.approx(1_000 * 0.26375)


def test_years_may_have_rules_and_incomes_of_their_own():
    table = pd.DataFrame({"long": [100_000.0, 100_000.0]}, index=[2024, 2025])
    out = tax_years(table, {2024: us_rules(2024), 2025: us_rules(2025, "joint")}, other_income=[0, 10_000])
    assert out["tax"].iloc[0] == pytest.approx((100_000 - 47_025) * 0.15)
    assert out["tax"].iloc[1] == pytest.approx((110_000 - 96_700) * 0.15)


def test_ledger_to_years():
    book = TaxLots()
    book.buy("2022-03-01", "A", 100, 10.0)
    book.buy("2023-01-03", "A", 100, 20.0)
    book.sell("2023-03-01", "A", 50, 15.0)          # one year to the day: short
    book.sell("2023-03-02", "A", 50, 15.0)          # a day more: long
    book.dividend("2024-06-03", "A", 1.0)
    book.sell("2025-02-03", "A", 100, 18.0)
    table = income_by_year(book, us_rules())
    assert table.index.tolist() == [2023, 2024, 2025]
    assert table["short"].tolist() == [250, 0, 0] and table["long"].tolist() == [250, 0, -200]
    assert table.loc[2024, ["dividends", "qualified"]].tolist() == [100, 100]
    own = book.summary()
    assert table.loc[own.index, ["short", "long", "dividends", "qualified"]].equals(own[["short", "long", "dividends", "qualified"]])
    assert income_by_year(book, german_rules())["long"].tolist() == [500, 0, -200]
    assert income_by_year(book, flat_rules(0.3, 0.1, holding_years=3))["short"].tolist() == [500, 0, -200]
    assert len(income_by_year(TaxLots(), us_rules())) == 0
    assert unrealized_gains(book, {}, "2025-03-03", us_rules()) == (0, 0, 0)


def test_liquidation():
    book = TaxLots()
    book.buy("2024-01-02", "A", 10, 100.0)
    book.buy("2025-01-02", "B", 10, 100.0)
    prices = pd.Series({"A": 150.0, "B": 120.0})
    rules = flat_rules(0.4, 0.2)
    assert liquidation_value(book, prices, "2025-06-02", rules) == pytest.approx(2_700 - 500 * 0.2 - 200 * 0.4)
    assert liquidation_value(book, prices, "2025-06-02", rules, carry_short=300) == pytest.approx(2_700 - 400 * 0.2)
    assert len(book.open_lots()) == 2
    with pytest.raises(DataError, match="B"):
        liquidation_value(book, {"A": 1.0}, "2025-06-02", rules)


def test_waiting():
    assert deferral_value(1000, 0.0, 40, 0.238) == 0 and deferral_value(1000, 0.0, 1, 0.0) == 0
    assert deferral_value(1000, 0.0, 5, 0.4, 0.2) == pytest.approx(200)
    n = np.arange(1, 50)
    assert (wealth_if_waited(0.07, n, 0.2) >= wealth_if_realised(0.07, n, 0.2) - 1e-12).all()
    np.testing.assert_allclose(wealth_if_waited(0.07, 1, 0.2), wealth_if_realised(0.07, 1, 0.2))
    np.testing.assert_allclose(wealth_if_waited(0.0, n, 0.2), 1)
    grown = 1.07**20                                  # a loss of L now is L more basis given up at the end
    with_, without = (1 + 0.3 * 0.1) * grown, grown
    taxed = with_ - 0.3 * (with_ - (0.9 + 0.3 * 0.1)) - (without - 0.3 * (without - 1))
    assert deferral_value(0.1, 0.07, 20, 0.3) == pytest.approx(taxed)
    assert after_tax_return(100, 121, 2) == pytest.approx(0.10) and tax_drag(0.10, 0.07) == pytest.approx(0.03)
    assert effective_tax_rate(100, 200, 180) == pytest.approx(0.2) and accrual_rate(0.10, 0.07) == pytest.approx(0.3)


@pytest.fixture(scope="module")
def walk():
    rng = np.random.default_rng(5)
    returns = pd.DataFrame(rng.normal(0.0006, 0.012, (560, 3)), pd.bdate_range("2021-11-01", periods=560), list("ABC"))
    named = {"1/N": EqualWeight(), "half": lambda w: np.array([0.5, 0.0, 0.0]), "short": lambda w: np.array([1.2, -0.2, 0.0]), "swap": lambda w: np.eye(3)[w.row % 3]}
    return walk_forward(named, returns, window=21, costs=0.001, risk_free=0.0001), returns


@pytest.mark.parametrize("name", ["1/N", "half", "swap"])
def test_backtest_without_tax_is_the_backtest(walk, name):
    out = tax_backtest(*walk[:1], name, walk[1], flat_rules(0.0, 0.0))
    np.testing.assert_allclose(out.wealth / 1e6, (1 + walk[0].net_returns[name]).cumprod(), rtol=1e-9)
    assert out.before == pytest.approx(out.held) == pytest.approx(out.sold)


@pytest.mark.parametrize("method", ["fifo", "hifo", "tax_optimal"])
@pytest.mark.parametrize("name", ["1/N", "half", "swap"])
def test_backtest_conserves_money(walk, name, method):
    backtest, returns = walk
    rules = flat_rules(0.4, 0.2)
    out = tax_backtest(backtest, name, returns, rules, method=method)
    prices = (1 + returns.loc[out.wealth.index]).prod()
    worth, *latent = unrealized_gains(out.book, prices, out.wealth.index[-1], rules)
    paid = out.years["tax"].sum() - (out.wealth.iloc[-1] - out.held)
    gains = out.book.realized()["gain"].sum() + sum(latent) + out.years["interest"].sum()
    assert gains == pytest.approx(out.wealth.iloc[-1] - out.begin + paid, rel=1e-6)
    assert out.sold <= out.held + 1e-6 and out.held <= out.before * (1 + 1e-9)
    assert set(out.summary().index) >= {"before tax", "held", "sold", "effective rate"}
    scaled = tax_backtest(backtest, name, returns, rules, method=method, start=1_000.0)
    np.testing.assert_allclose(scaled.wealth * 1_000, out.wealth, rtol=1e-6)


def test_backtest_refuses(walk):
    backtest, returns = walk
    rules = flat_rules(0.4, 0.2)
    for change, word in (({"allocator": "none"}, "none"), ({"allocator": "short"}, "B"), ({"returns": returns[["A", "B"]]}, "C"), ({"returns": returns.iloc[:100]}, "returns"),
                         ({"rules": "US"}, "rules"), ({"method": "best"}, "method"), ({"rules": german_rules(), "method": "hifo"}, "Germany"), ({"start": 0.0}, "start")):
        given = {"backtest": backtest, "allocator": "1/N", "returns": returns, "rules": rules} | change
        with pytest.raises(DataError, match=word):
            tax_backtest(**given)


def test_rules_are_frozen_data():
    assert us_rules(2025) == us_rules(2025) and us_rules(2025) != us_rules(2024)
    assert isinstance(hash(us_rules(2025)), int) and isinstance(us_rules(), TaxRules)
    with pytest.raises(AttributeError):
        us_rules().loss_limit = 0.0
