"A hundred taxable portfolios of a hundred stocks over twenty years of days, with lots, wash sales and harvesting, on two processes."

from functools import partial

import numpy as np

from bench.harness import Case


def work(n_portfolios: int = 100, n_jobs: int = 2):
    "Harvest portfolios, each beside its twin, every lot looked at every day."
    from portfolio_ml.tax.harvest import draw_stocks, harvest_simulation
    from portfolio_ml.tax.portfolio import HarvestPlan, Investor
    from portfolio_ml.tax.rules import flat_rules

    world = partial(draw_stocks, n_assets=100, years=20, own=0.28)
    investor = Investor(rules=flat_rules(0.408, 0.238, loss_limit=3000.0), outside_short=100_000.0)
    return harvest_simulation(world, (HarvestPlan(), investor), n_portfolios=n_portfolios, n_jobs=n_jobs, progress=False)


def cases() -> list[Case]:
    "Time it; no peer exists."
    return [Case("harvesting: 100 portfolios x 20 years daily x 100 stocks, 2 processes (target: 60 s)", work, None, rounds=1)]


def notes() -> list[str]:
    "Say how much memory the processes took, and what a portfolio costs on one."
    import resource

    from bench.harness import once

    seconds, found = once(lambda: work(4, 1))
    peak = max(resource.getrusage(w).ru_maxrss for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
    return [
        f"Harvesting: {seconds / 4:.2f} s a portfolio with its twin on one process; the largest process took {peak:.2f} GB; "
        f"mean tax alpha {1e4 * np.mean(found.at()['sold']):.0f} basis points."
    ]
