"A ledger of a million tax lots: tax-optimal sales, and 100,000 small trades one after another, with and without the rule on wash sales."


import numpy as np

from bench.harness import Case, once

LOTS, TRADES, SYMBOLS = 1_000_000, 100_000, 100


def big_ledger(wash_sales: bool = True):
    "Buy a million lots of one symbol on five thousand days."
    from portfolio_ml.tax.lots import TaxLots
    from portfolio_ml.tax.matching import date_of

    rng, book = np.random.default_rng(0), TaxLots(method="tax_optimal", wash_sales=wash_sales)
    days, shares = date_of(np.sort(rng.integers(15_000, 20_000, LOTS))), rng.integers(1, 9, LOTS).astype(float)
    book.buy(days, "A", shares, rng.uniform(5, 15, LOTS))
    return book


def sales(shares: float):
    "Make a function that sells so many shares of the big ledger at each call."
    book = big_ledger()
    return lambda: book.sell("2024-12-30", "A", shares, 9.0)


def trades(wash_sales: bool = True, method: str = "hifo"):
    "Make a function that enters small trades of a hundred symbols, nearly half of them sales."
    from portfolio_ml.tax.lots import TaxLots
    from portfolio_ml.tax.matching import date_of

    rng = np.random.default_rng(1)
    days, names = date_of(np.sort(rng.integers(15_000, 20_000, TRADES))), rng.integers(0, SYMBOLS, TRADES)
    sizes, prices, sells = rng.integers(1, 50, TRADES), rng.uniform(9, 11, TRADES), rng.random(TRADES) < 0.48

    def run():
        book, held = TaxLots(method=method, wash_sales=wash_sales), np.zeros(SYMBOLS)
        for day, k, size, price, sell in zip(days, names, sizes, prices, sells):
            if sell and held[k] > 0:
                size = min(size, held[k])
                book.sell(day, f"S{k}", size, price)
            else:
                book.buy(day, f"S{k}", size, price)
            held[k] += -size if sell and held[k] > 0 else size
        return book

    return run


def cases() -> list[Case]:
    "List the timings; no open library keeps wash sales, so there is nobody to compare with."
    return [
        Case("1e6 lots, sell 1 % tax-optimally", sales(45_000.0), rounds=3),
        Case("1e5 small trades of 100 symbols, without the rule", trades(wash_sales=False), rounds=1),
        Case("1e5 small trades of 100 symbols, with wash sales", trades(), rounds=1),
    ]


def notes() -> list[str]:
    "Say what the purchase of a million lots takes, and one tax-optimal sale of a quarter of them."
    bought, book = once(big_ledger)
    sold, _ = once(lambda: book.sell("2024-12-30", "A", 1_100_000.0, 9.0))
    rows = len(book.realized())
    return [f"A ledger buys 1,000,000 lots in one call in {bought:.2f} s, and one sale that takes {rows:,} of them tax-optimally takes {sold:.2f} s (target: under 1 s)."]
