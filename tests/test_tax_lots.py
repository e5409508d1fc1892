"The ledger of tax lots: conservation under random events, order of entry, files, failures, published examples of other years."

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from portfolio_ml.core.validation import DataError, DataIntegrityError, MissingDataError, ShapeError
from portfolio_ml.tax.lots import TaxLots
from portfolio_ml.tax.matching import METHODS, LotTable, date_of, day_number, long_term_from, long_term_until, part_lots, sale_order

COLUMNS = ["symbol", "quantity", "acquired", "sold", "proceeds", "basis", "gain", "disallowed", "term"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "buy", "sell", "sell", "split", "capital", "dividend", "away"]), st.sampled_from("ABC"),
        st.integers(0, 20), st.floats(0.5, 40), st.floats(1, 50), st.sampled_from(METHODS), st.sampled_from([0.25, 0.5, 1.0]),
    ),
    min_size=1, max_size=60,
)


def held(book, symbol):
    "Count shares."
    rows = book.ledger.lots.open(book.symbols[symbol]) if symbol in book.symbols else []
    return float(book.ledger.lots["quantity"][rows].sum())


def play(steps, **how):
    "Enter steps that are possible; give the ledger and cash received less cash paid."
    book, day, cash = TaxLots(**how), 18_000, 0.0
    for kind, s, wait, shares, price, method, part in steps:
        day += wait
        there, date = held(book, s), date_of(day)
        if kind == "buy" or (kind != "away" and there < 1e-6):
            book.buy(date, s, shares, price, fees=1.0)
            cash -= shares * price + 1.0
        elif kind == "away":
            book.buy(date, s, shares, price, deferred=True)
        elif kind == "sell":
            book.sell(date, s, part * there, price, method=method)
            cash += part * there * price
        elif kind == "split":
            book.split(date, s, 4 * part)
        elif kind == "dividend":
            cash -= book.dividend(date, s, part, reinvest_at=price)  # the shares that it buys cost as much
        else:
            book.return_of_capital(date, s, part)
            cash += part * there
    return book, cash


def state(book):
    "Give all that a ledger holds."
    return [t.to_csv() for t in (book.realized(), book.open_lots(), book.income(), book.summary())], dict(book.symbols)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.booleans())
def test_no_cent_appears_or_vanishes(tmp_path_factory, steps, rule):
    "Gains are cash, plus the basis still open, plus what is lost; no lot goes below zero; a file gives the same back."
    book, cash = play(steps, wash_sales=rule, identical=[{"B", "C"}])
    lots, sold = book.open_lots(), book.realized()
    lost = book.ledger.sales["lost"].sum()
    np.testing.assert_allclose(sold["gain"].sum(), cash + lots["basis"].sum() + lost, atol=1e-6)
    assert (lots["quantity"] > 0).all() and (lots["basis"] >= -1e-9).all() and (sold["disallowed"] >= 0).all()
    carried = book.ledger.matches["loss"].sum()
    np.testing.assert_allclose(sold["disallowed"].sum(), carried, atol=1e-6)
    path = tmp_path_factory.mktemp("lots") / "lots.json"
    assert state(TaxLots.load(book.save(path))) == state(book)


class Tally:
    "Cash and shares of somebody who trades, counted apart from the ledger."

    def __init__(self, rng):
        self.rng, self.cash, self.dividends, self.shares = rng, 0.0, 0.0, dict.fromkeys("ABCDE", 0.0)
        self.price = dict(zip("ABCDE", rng.uniform(8, 80, 5)))

    def act(self, book, kind, s, date):
        "Enter one event, and count what it does to cash and shares."
        rng, price, there = self.rng, round(self.price[s], 2), self.shares[s]
        if kind in ("buy", "away") or there < 1:
            quantity, fees = float(rng.choice([rng.integers(1, 40), rng.uniform(0.5, 9)])), round(rng.uniform(0, 2), 2)
            book.buy(date, s, quantity, price, fees=fees, deferred=kind == "away")
            self.shares[s] += quantity * (kind != "away")
            self.cash -= (quantity * price + fees) * (kind != "away")
        elif kind == "sell":
            quantity, lots = there * float(rng.choice([0.1, 1 / 3, 0.5, 1.0])), None
            if rng.random() < 0.3:  # name the lots, the last first
                mine = book.open_lots().query("symbol == @s")
                lots = [int(k) for k in mine.index.unique()[::-1]]
            book.sell(date, s, quantity, price, fees=0.5, method=str(rng.choice(METHODS)), lots=lots)
            self.shares[s], self.cash = there - quantity, self.cash + quantity * price - 0.5
        elif kind == "split":
            ratio, paid = float(rng.choice([2, 3, 0.5, 1 / 3, 1.05])), rng.random() < 0.5
            self.price[s] /= ratio
            book.split(date, s, ratio, cash_in_lieu=self.price[s] if paid else None)
            self.shares[s] = held(book, s)
            self.cash += (there * ratio - self.shares[s]) * self.price[s]
            assert there * ratio - self.shares[s] < 1 and (paid or abs(there * ratio - self.shares[s]) < 1e-6)
        elif kind == "dividend":
            money = book.dividend(date, s, 0.01 * price, reinvest_at=price if rng.random() < 0.6 else None)
            self.shares[s], bought = held(book, s), held(book, s) - there
            self.cash, self.dividends = self.cash + money - bought * price, self.dividends + money
        else:
            book.return_of_capital(date, s, 0.02 * price)
            self.cash += there * 0.02 * price

    def gap(self, book):
        "Give what is recognised and what is deferred, less the economic gain."
        lots = book.open_lots()
        worth = sum(n * self.price[s] for s, n in self.shares.items())
        np.testing.assert_allclose(lots.groupby("symbol")["quantity"].sum().reindex(list("ABCDE"), fill_value=0.0), list(self.shares.values()), rtol=1e-9, atol=1e-6)
        recognised = book.realized()["gain"].sum() - book.ledger.sales["lost"].sum() + self.dividends
        return recognised + (worth - lots["basis"].sum()) - (self.cash + worth)


def test_five_thousand_events_balance_to_the_cent():
    "One ledger: all methods and named lots, splits both ways, fractions paid out, dividends reinvested, identical groups, a retirement account."
    rng, book, day = np.random.default_rng(5), TaxLots(identical=[{"A", "C"}, {"D", "E"}]), 15_000
    tally, kinds = Tally(rng), ["buy", "sell", "split", "dividend", "capital", "away"]
    for n, kind in enumerate(rng.choice(kinds, 5000, p=[0.43, 0.43, 0.02, 0.06, 0.03, 0.03])):
        day, s = day + int(rng.integers(0, 3)), "ABCDE"[rng.integers(5)]
        tally.price[s] = float(np.clip(tally.price[s] * np.exp(rng.normal(0, 0.05)), 2, 400))
        tally.act(book, str(kind), s, date_of(day))
        if n % 500 == 499:
            assert abs(tally.gap(book)) < 0.005
    lots, sold = book.open_lots(), book.realized()
    assert (lots["quantity"] > 0).all() and (lots["basis"] >= -1e-9).all() and book.ledger.sales["lost"].sum() > 0
    assert len(book.events) >= 5000 and len(sold) > 5000 and book.ledger.matches.size > 1000 and set(sold["term"]) == {"short", "long"}
    np.testing.assert_allclose(sold["disallowed"].sum(), book.ledger.matches["loss"].sum(), atol=1e-6)
    np.testing.assert_allclose(book.income()["amount"].sum(), tally.dividends, atol=1e-6)


def test_the_calls_of_the_design_work_as_written():
    "Names, columns, and a replacement that is bought after the sale."
    lots = TaxLots()
    lots.buy("2024-01-02", "A", 100, 10.0)
    lots.sell("2024-01-10", "A", 50, 8.0, method="hifo")
    assert list(lots.realized().columns) == COLUMNS and lots.realized()["gain"].tolist() == [-100]
    lots.buy("2024-01-20", "A", 50, 8.0)
    assert lots.realized()["gain"].tolist() == [0] and lots.realized()["disallowed"].tolist() == [100]
    assert list(lots.open_lots().columns)[:4] == ["symbol", "quantity", "acquired", "basis"]
    assert lots.open_lots()["acquired"].astype(str).tolist() == ["2024-01-02", "2024-01-12"]


def test_order_of_entry_does_not_matter():
    "Symbol by symbol, backwards, or many purchases in one call: the same books."
    rng = np.random.default_rng(2)
    rows = [("buy", d, s, float(rng.uniform(5, 15))) for d in range(0, 300, 7) for s in "AB"]
    rows += [("sell", d, s, float(rng.uniform(5, 15))) for d in range(103, 300, 35) for s in "AB"]
    tables = []
    for order in (sorted(rows, key=lambda r: r[1]), sorted(rows, key=lambda r: r[2]), rows[::-1]):
        book = TaxLots(method="hifo")
        book.buy(date_of(-9), "A", 1, 1.0), book.buy(date_of(-9), "B", 1, 1.0)
        for kind, day, symbol, price in sorted(order, key=lambda row: row[0]):  # purchases before sales, else as ordered
            getattr(book, kind)(date_of(day), symbol, 10 if kind == "buy" else 8, price)
        sold = book.realized().sort_values(["sold", "symbol", "acquired", "basis"], ignore_index=True)
        tables.append(sold[["symbol", "proceeds", "gain", "disallowed"]].round(9).to_csv())
    assert tables[0] == tables[1] == tables[2]
    many, one = TaxLots(), TaxLots()
    days, prices = date_of(np.arange(0, 60, 6)), np.linspace(12, 8, 10)
    assert many.buy(days, "A", 10, prices) == 0 and many.purchases == 10
    for day, price in zip(days, prices):
        one.buy(day, "A", 10, price)
    for book in (many, one):
        book.sell(date_of(32), "A", 15, 9.0)
    assert state(many) == state(one)


@pytest.mark.parametrize(
    "attempt, words",
    [
        (lambda b: b.sell("2024-03-01", "A", 500, 9.0), "sell of A on 2024-03-01: 500 shares, but 100 are held"),
        (lambda b: b.sell("2024-03-01", "B", 1, 9.0), "'B' were ever bought"),
        (lambda b: b.buy("2024-03-01", "C", 1, float("nan")), "buy of C on 2024-03-01: price=nan"),
        (lambda b: b.buy("2024-03-01", "C", float("inf"), 1.0), "quantity=inf"),
        (lambda b: b.buy("2024-03-01", "C", -1, 1.0), "quantity=-1"),
        (lambda b: b.buy("2024-03-01", "C", "ten", 1.0), "'ten' is not a number"),
        (lambda b: b.buy("someday", "C", 1, 1.0), "not a date"),
        (lambda b: b.buy("2024-03-01", "", 1, 1.0), "not a name"),
        (lambda b: b.buy("2024-03-01", "C\nD", 1, 1.0), "not a name on one line"),
        (lambda b: b.buy("2024-03-01", " \t", 1, 1.0), "not a name"),
        (lambda b: b.buy(["2024-03-02", "2024-03-01"], "C", 1, 1.0), "do not ascend"),
        (lambda b: b.sell("2024-03-01", "A", 5, 9.0, lots=[7]), "no open lot 7"),
        (lambda b: b.sell("2024-03-01", "A", 50, 9.0, lots={0: 20}), "20 are named"),
        (lambda b: b.sell("2024-03-01", "A", 5, 9.0, lots={0: -1}), "lots=-1"),
        (lambda b: b.sell("2024-03-01", "A", 5, 9.0, method="best"), "'best' is not known"),
        (lambda b: b.sell("2023-01-01", "A", 5, 9.0), "but 0 are held"),
        (lambda b: b.split("2024-03-01", "A", 0), "quantity=0"),
        (lambda b: b.dividend("2024-03-01", "A", 1.0, reinvest_at=-2), "reinvest_at=-2"),
        (lambda b: b.return_of_capital("2024-03-01", "Z", 1.0), "'Z' were ever bought"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_trace(attempt, words):
    "Every refusal is typed, speaks, and changes nothing."
    book = TaxLots()
    book.buy("2024-01-02", "A", 100, 10.0)
    before = state(book), len(book.events), book.purchases
    with pytest.raises(DataError, match=words.replace("(", "\\(")):
        attempt(book)
    assert (state(book), len(book.events), book.purchases) == before


def test_other_refusals():
    "Shapes, prices, settings, files."
    book = TaxLots()
    with pytest.raises(ShapeError, match="differ in number"):
        book.buy(["2024-01-01", "2024-01-02"], "A", [1, 2, 3], 1.0)
    book.buy("2024-01-02", "A", 1, 10.0)
    with pytest.raises(MissingDataError, match="A"):
        book.unrealized({"B": 1.0}, "2024-02-01")
    for wrong in ({"identical": [{"A", "B"}, {"B", "C"}]}, {"method": "best"}, {"rates": (0.3, -1)}, {"rates": (0.3,)}, {"window": -1}, {"window": 1.5}):
        with pytest.raises(DataError):
            TaxLots(**wrong)


@pytest.mark.parametrize("cut", [0, 1, 40, 0.3, 0.6, 0.95, -1])
def test_a_file_that_was_cut_off_is_found_out(tmp_path, cut):
    "Wherever it ends."
    book, _ = play([("buy", "A", 1, 5.0, 9.0, "fifo", 0.5), ("sell", "A", 1, 5.0, 8.0, "fifo", 0.5)])
    path = book.save(tmp_path / "lots.json")
    text = path.read_text()
    path.write_text(text[: int(cut * len(text)) if isinstance(cut, float) else cut])
    with pytest.raises(DataIntegrityError, match="lots.json"):
        TaxLots.load(path)


def test_a_file_that_does_not_hold_together_is_found_out(tmp_path):
    "Another format, or a sale of more than was bought."
    book, _ = play([("buy", "A", 1, 5.0, 9.0, "fifo", 0.5), ("sell", "A", 1, 5.0, 8.0, "fifo", 0.5)])
    text = book.save(tmp_path / "lots.json").read_text()
    for wrong in ('{"format": "something else"}', text.replace("5.0", "0.5", 1), "[]", "\x00"):
        (tmp_path / "wrong.json").write_text(wrong)
        with pytest.raises(DataIntegrityError, match="wrong.json"):
            TaxLots.load(tmp_path / "wrong.json")


def test_lots_that_are_named_twice_or_by_date():
    "By number and by date the same lot; the limits add up and no more than there is goes."
    book = TaxLots()
    first, second = book.buy("2024-01-02", "A", 10, 5.0), book.buy("2024-01-03", "A", 10, 6.0)
    book.sell("2024-02-01", "A", 12, 7.0, lots=[(second), "2024-01-02"])
    assert book.realized()["quantity"].tolist() == [10, 2] and book.open_lots()["quantity"].tolist() == [8]
    book.sell("2024-02-02", "A", 5, 7.0, lots={first: 3, "2024-01-02": 2})
    assert book.open_lots()["quantity"].tolist() == [3] and book.open_lots()["basis"].tolist() == [15]


def test_dividends_count_splits_and_sales_after_them():
    "Shares as they were at the ex-date, whatever was split or sold later."
    book = TaxLots()
    book.buy("2024-01-02", "A", 10, 10.0)
    assert book.dividend("2024-05-01", "A", 1.0) == 10
    book.split("2024-05-10", "A", 3)
    book.sell("2024-05-20", "A", 15, 4.0)
    assert book.income()[["quantity", "amount", "qualified"]].to_numpy().tolist() == [[10, 10, 10]]
    book.buy("2024-04-30", "A", 4, 10.0)  # late: the day before the ex-date, and before the split
    assert book.income()["amount"].tolist() == [14] and held(book, "A") == 27


def test_a_year_and_its_days():
    "The first long-term day, both ways, over a leap cycle; and 29 February."
    for day in range(int(day_number("2019-06-01")), int(day_number("2025-06-01")), 3):
        assert long_term_from(long_term_until(day)) <= day < long_term_from(long_term_until(day) + 1)
    assert str(date_of(long_term_from(day_number("2024-02-29")))) == "2025-03-01"


@pytest.mark.parametrize("bought, long_from", [
    ("2012-09-19", "2013-09-20"), ("2005-01-01", "2006-01-02"), ("2023-02-05", "2024-02-06"),  # a guide's, a newspaper's, Publication 550's
    ("2012-11-30", "2013-12-01"), ("2023-02-28", "2024-03-01"), ("2024-02-29", "2025-03-01"), ("2024-04-30", "2025-05-01"),  # Rev. Rul. 66-7: ends of months
    ("2024-02-28", "2025-03-01"), ("2019-12-31", "2021-01-01"),
])
def test_holding_periods_that_authorities_print(bought, long_from):
    "The day before is short, the day is long; the trade date counts, in the year of the trade."
    book = TaxLots()
    book.buy(bought, "A", 2, 10.0)
    for date in (day_number(long_from) - 1, day_number(long_from)):
        book.sell(date_of(date), "A", 1, 12.0)
    assert book.realized()["term"].tolist() == ["short", "long"]
    assert book.summary()[["short", "long"]].sum().tolist() == [2, 2]


def test_the_greedy_order_is_the_optimum_of_one_sale():
    "Against a linear program, part of the lots only."
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, table = 200, LotTable()
        quantity, days = rng.uniform(1, 50, n), rng.integers(0, 499, n)
        table.add(0, quantity, basis=quantity * rng.uniform(5, 15, n), purchased=days, start=days, purchase=np.arange(n))
        rows, wanted = table.open(0), 0.1 * quantity.sum()
        order = sale_order("tax_optimal", table, rows, 500, 10.0, wanted=wanted)
        tax = np.where(long_term_from(table["start"]) <= 500, 0.20, 0.37) * (10.0 - table["basis"] / table["quantity"])
        taken = np.clip(wanted - (np.cumsum(quantity[order]) - quantity[order]), 0, quantity[order])
        best = linprog(tax, A_eq=np.ones((1, n)), b_eq=[wanted], bounds=list(zip(np.zeros(n), quantity)))
        np.testing.assert_allclose(taken @ tax[order], best.fun, atol=1e-8)
        assert len(order) < n


def test_parts_of_lots_keep_shares_and_money():
    "Random cuts, the whole lot among them."
    rng, table = np.random.default_rng(1), LotTable()
    table.add(0, rng.uniform(1, 9, 20), basis=rng.uniform(1, 99, 20), purchased=np.arange(20), start=0, purchase=np.arange(20))
    shares, basis = table["quantity"].sum(), table["basis"].sum()
    for row in range(20):
        pieces = table["quantity"][row] * np.array([0.2, 0.3, 0.5 if row % 2 else 0.1])
        rows = part_lots(table, np.full(3, row), pieces)
        np.testing.assert_allclose(table["quantity"][rows], pieces)
    np.testing.assert_allclose([table["quantity"].sum(), table["basis"].sum()], [shares, basis])
    assert (table["quantity"] > 0).all() and table.size == 20 + 10 * 3 + 10 * 2


def test_short_descriptions_and_pictures():
    "A line, a table, a figure; an empty ledger, too."
    empty, book = TaxLots(), TaxLots()
    assert "0 events" in repr(empty) and len(empty.summary()) == 0 and len(empty.realized()) == len(empty.income()) == 0
    book.buy("2024-01-02", "A", 1, 10.0)
    assert "1 open lots" in repr(book) and "<table" in book._repr_html_()
    ax = book.plot({"A": 12.0}, "2024-06-03")
    assert ax.get_yscale() == "log" and pd.api.types.is_float_dtype(book.unrealized({"A": 12}, "2024-06-03")["gain"])
    assert book.summary(1999).tolist() == [0.0] * 6


def test_the_last_digit_orders_nothing():
    "Lots of equal cost are sold the earliest first, however the cost was rounded."
    book = TaxLots(method="hifo")
    book.buy("2024-01-02", "A", 1, 0.3)
    book.buy("2024-01-03", "A", 1, 0.1 + 0.2)  # a last digit more
    book.sell("2024-06-03", "A", 1, 0.5)
    assert book.open_lots().index.tolist() == [1]
