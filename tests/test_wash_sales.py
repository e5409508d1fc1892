"Wash sales: the share-by-share rule, splits within identical groups, edges of the window, retirement accounts, conservation."

import numpy as np
import pytest

from portfolio_ml.tax.lots import TaxLots
from portfolio_ml.tax.matching import date_of, long_term_from
from portfolio_ml.tax.wash_sales import Losses, WashSales, match_sale, pair_shares, replacements


class Shares:
    """Every share an object: slow, plain, the rule as the regulations say it, in shares as before any split."""

    def __init__(self, groups=(), window=30):
        self.window, self.groups, self.shares, self.losses, self.purchases = window, groups, [], [], 0

    def same(self, a, b):
        "Tell whether two symbols are identical."
        return a == b or any(a in g and b in g for g in self.groups)

    def buy(self, day, symbol, shares, price, away):
        "Buy, and replace what waits, the earliest sale first."
        for _ in range(shares):
            new = {"symbol": symbol, "bought": day, "start": day, "basis": price, "purchase": self.purchases, "away": away}
            self.shares.append(new)
            waiting = [x for x in self.losses if self.same(x["symbol"], symbol) and day - x["sold"] <= self.window]
            waiting = [x for x in waiting if not x["disallowed"]]
            if waiting:
                self.replace(waiting[0], new)
        self.purchases += 1

    def replace(self, loss, new):
        "Move a loss."
        loss["disallowed"], new["used"] = loss["basis"] - loss["proceeds"], True
        if new["away"]:
            loss["lost"] = loss["disallowed"]
        else:
            new["basis"] += loss["disallowed"]
            new["start"] -= loss["sold"] - loss["start"]

    def sell(self, day, symbol, shares, price, method):
        "Sell, and replace by what was bought shortly before."
        held = [s for s in self.shares if s["symbol"] == symbol and not s["away"] and "sold" not in s]
        held.sort(key=lambda s: (s["bought"], s["purchase"], s["start"], round(s["basis"], 9)))
        if method != "fifo":
            held = held[::-1] if method == "lifo" else sorted(held, key=lambda s: -round(s["basis"], 9))
        for s in held[:shares]:
            s |= {"sold": day, "proceeds": price, "disallowed": 0.0, "lost": 0.0}
        losing = sorted((s for s in held[:shares] if s["basis"] - price > 1e-9), key=lambda s: s["bought"])
        for loss in losing:
            able = [
                s for s in self.shares
                if self.same(s["symbol"], symbol) and "sold" not in s and "used" not in s
                and day - self.window <= s["bought"] and s["purchase"] != loss["purchase"]
            ]
            if able:
                self.replace(loss, min(able, key=lambda s: (s["bought"], s["purchase"])))
        self.losses += losing


def history(seed, method, count=45):
    "Play a random history on both sides; on ours, shares are split now and then."
    rng, groups, day = np.random.default_rng(seed), [{"B", "C"}] if seed % 2 else [], 20_000
    book, plain = TaxLots(method=method, identical=groups), Shares(groups)
    held, unit, price = dict.fromkeys("ABC", 0), dict.fromkeys("ABC", 1.0), {"A": 10.0, "B": 20.0, "C": 21.0}
    for _ in range(count):
        day, s = day + int(rng.integers(0, 14)), str(rng.choice(list("ABC")))
        price[s] *= np.exp(rng.normal(-0.02, 0.15))
        p = round(price[s], 2)
        if s in book.symbols and rng.random() < 0.08:
            ratio = float(rng.choice([2.0, 3.0, 0.5]))
            book.split(date_of(day), s, ratio)
            unit[s] *= ratio
        if rng.random() < 0.55 or not held[s]:
            shares, away = int(rng.integers(1, 8)), bool(rng.random() < 0.1)
            book.buy(date_of(day), s, shares * unit[s], p / unit[s], deferred=away)
            plain.buy(day, s, shares, p, away)
            held[s] += 0 if away else shares
        else:
            shares = int(rng.integers(1, held[s] + 1))
            book.sell(date_of(day), s, shares * unit[s], p / unit[s])
            plain.sell(day, s, shares, p, method)
            held[s] -= shares
    return book, plain


@pytest.mark.parametrize("method", ["fifo", "lifo", "hifo"])
def test_agrees_with_the_rule_share_by_share(method):
    "Each gain, by symbol, start and day of sale; what is disallowed, lost, and still in the lots."
    for seed in range(25):
        book, plain = history(seed, method)
        sold = [s for s in plain.shares if "sold" in s]
        expected = {}
        for s in sold:
            key = s["symbol"], str(date_of(s["start"])), str(date_of(s["sold"])), "long" if s["sold"] >= long_term_from(s["start"]) else "short"
            expected[key] = expected.get(key, 0.0) + s["proceeds"] - s["basis"] + s["disallowed"]
        rows = book.realized().astype({"acquired": str, "sold": str}).groupby(["symbol", "acquired", "sold", "term"])["gain"].sum()
        assert rows.index.tolist() == sorted(expected)
        np.testing.assert_allclose(rows, [expected[k] for k in rows.index], atol=1e-7)
        sales, basis = book.ledger.sales, sum(s["basis"] for s in plain.shares if "sold" not in s and not s["away"])
        np.testing.assert_allclose(sales["disallowed"].sum(), sum(s["disallowed"] for s in sold), atol=1e-7)
        np.testing.assert_allclose(sales["lost"].sum(), sum(s["lost"] for s in sold), atol=1e-7)
        np.testing.assert_allclose(book.open_lots()["basis"].sum(), basis, atol=1e-7)


def washed(offset, window=30, **how):
    "Give what is disallowed of a loss of 20 if as many shares are bought some days after the sale."
    book = TaxLots(window=window, **how)
    book.buy(date_of(19_000), "A", 10, 10.0)
    book.buy(date_of(19_900 + offset), "A", 10, 8.0)
    book.sell(date_of(19_900), "A", 10, 8.0, lots=[0])
    return book.realized()["disallowed"].sum()


def test_the_edges_of_the_window():
    "Both sides, other windows, and no rule."
    assert [washed(d) for d in (-31, -30, -1, 0, 1, 30, 31)] == [0, 20, 20, 20, 20, 20, 0]
    assert [washed(d, window=0) for d in (-1, 0, 1)] == [0, 20, 0]
    assert washed(0, wash_sales=False) == 0


def test_a_gain_is_never_washed_and_a_share_replaces_once():
    "Two losses, one replacement; then a gain."
    book = TaxLots()
    book.buy("2024-01-02", "A", 20, 10.0)
    book.sell("2024-06-03", "A", 10, 8.0)
    book.sell("2024-06-04", "A", 10, 7.0)
    book.buy("2024-06-05", "A", 10, 7.0)
    assert book.realized()["disallowed"].tolist() == [20, 0]
    book.sell("2024-06-06", "A", 10, 12.0)
    book.buy("2024-07-05", "A", 10, 12.0)  # day 31 of the second loss, day 29 of the gain
    assert book.realized()["gain"].tolist() == [0, -30, 30]


def test_a_retirement_account_takes_losses_for_good():
    "Before and after the sale, each share once, and splits of what waits there."
    book = TaxLots()
    book.buy("2024-01-02", "A", 30, 10.0)
    book.buy("2024-05-20", "A", 10, 9.0, deferred=True)
    book.split("2024-05-25", "A", 2)
    book.sell("2024-06-03", "A", 30, 4.0)  # 15 old shares; 10 of them are replaced
    assert book.summary(2024)[["disallowed", "lost", "short"]].tolist() == [20, 20, -10]
    book.sell("2024-06-04", "A", 30, 4.0)
    assert book.summary(2024)["lost"] == 20
    book.buy("2024-07-01", "A", 8, 4.0, deferred=True)
    assert book.summary(2024)["lost"] == 20 + 8 * 1  # a loss of 1 a new share
    assert book.realized()["gain"].sum() == 60 * 4 - 300 + 28


def test_a_chain_over_years_comes_back_whole():
    "Ten washed sales in a row, then one for good."
    book, cash = TaxLots(), 0.0
    for k in range(11):
        book.buy(date_of(19_000 + 40 * k), "A", 7, 20.0 - k)
        book.sell(date_of(19_020 + 40 * k), "A", 7, 18.0 - k)
        cash += 7 * (18.0 - k) - 7 * (20.0 - k)
    gains = book.realized()["gain"]
    np.testing.assert_allclose(gains.iloc[:-1], 0, atol=1e-9)
    np.testing.assert_allclose(gains.iloc[-1], cash)
    assert book.realized()["term"].tolist()[-1] == "short" and book.realized()["acquired"].iloc[-1] == date_of(19_420 - 11 * 20)


def test_queues():
    "Equal ends, unequal ends, nothing."
    i, j, shares = pair_shares(np.array([1.0, 2.0]), np.array([3.0]))
    assert (i.tolist(), j.tolist(), shares.tolist()) == ([0, 1], [0, 0], [1, 2])
    assert [len(x) for x in pair_shares(np.array([1.0]), np.array([0.0, 0.0]))] == [0, 0, 0]
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.uniform(0, 5, rng.integers(1, 9)), rng.uniform(0, 5, rng.integers(1, 9))
        i, j, shares = pair_shares(a, b)
        np.testing.assert_allclose(shares.sum(), min(a.sum(), b.sum()))
        assert (np.bincount(i, shares, len(a)) <= a + 1e-9).all() and (np.bincount(j, shares, len(b)) <= b + 1e-9).all()


def test_nothing_to_look_back_on():
    "An empty table, and a rule that has seen no purchase."
    from portfolio_ml.tax.matching import LotTable

    rule = WashSales(groups={0: 0, 1: 0})
    losses = Losses(9, 0, *(np.ones(1) for _ in range(5)))
    assert replacements(rule, LotTable(), losses) is None and match_sale(rule, LotTable(), losses) == []
    assert rule.members(1) == [0, 1] and rule.group(7) == 7 and len(rule.waiting[0]) == 1
