"The bake-off: toys by hand, the engine's own answer, failures by name, and what is refused."

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import OAS, LedoitWolf

from portfolio_ml.allocation.baselines import EqualWeight
from portfolio_ml.allocation.mean_variance import MinimumVariance
from portfolio_ml.backtest.walk_forward import walk_forward
from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import DataError, InsufficientDataError, MissingDataError
from portfolio_ml.covariance.bakeoff import (
    PORTFOLIOS,
    covariance_field,
    judge,
    period_means,
    run_bakeoff,
)
from portfolio_ml.covariance.estimator import CovarianceEstimator, draw_returns, factor_covariance, qlike
from portfolio_ml.covariance.shrinkage import LinearShrinkage, QuadraticInverseShrinkage
from portfolio_ml.measure.multiplicity import model_confidence_set


class Told(CovarianceEstimator):
    "Say what one was told."

    def __init__(self, covariance=None):
        self.covariance = covariance

    assume_centered = False

    def estimate(self, moves, n_free):
        return np.asarray(self.covariance, dtype=float)


class Moody(CovarianceEstimator):
    "Fail whenever the first return of the window is positive."

    def estimate(self, moves, n_free):
        if moves[0, 0] > 0:
            raise RuntimeError("no mood\nfor details")
        return super().estimate(moves, n_free)


@pytest.fixture(scope="module")
def panel():
    values = np.asarray(factor_returns(420, 8))
    return pd.DataFrame(values, pd.bdate_range("2010-01-01", periods=420), list("abcdefgh"))


FIELD = {"sample": CovarianceEstimator(), "linear": LinearShrinkage(), "QIS": QuadraticInverseShrinkage()}


def test_toy_by_hand():
    days = pd.DataFrame([[1, -1], [-1, 2], [1, 0], [0, 2], [1, -2]], columns=["A", "B"]) / 100
    run = run_bakeoff({"x": Told(np.diag([1e-4, 4e-4])), "y": Told(np.diag([2e-4, 2e-4]))}, days, window=2, step=3, costs=0)
    np.testing.assert_allclose(run.qlike, (np.log(4e-8) + np.array([[1, 0.5], [1, 2], [2, 2.5]])) / 2)
    for walk in run.backtests.values():
        np.testing.assert_allclose(walk.net_returns.iloc[0], [0.008, 0.005])
    np.testing.assert_allclose(run.decisions["long only"], np.sqrt([0.8e-4, 1e-4]))
    assert run.to_frame().shape == (6, 5) and not len(run.failures)


def test_portfolios_are_the_engines_own(panel):
    run = run_bakeoff(FIELD, panel, window=120, step=40, others={"1/N": EqualWeight()})
    for name, least in PORTFOLIOS.items():
        rules = {k: MinimumVariance(e, min_weight=least) for k, e in FIELD.items()} | {"1/N": EqualWeight()}
        direct = walk_forward(rules, panel, window=120, rebalance=40, costs=0.001)
        np.testing.assert_allclose(direct.net_returns, run.backtests[name].net_returns, atol=1e-12)
        np.testing.assert_allclose(direct.turnover, run.backtests[name].turnover, atol=1e-9)
    first = panel.iloc[:120]
    S = QuadraticInverseShrinkage().fit(first).covariance_
    np.testing.assert_allclose(run.qlike["QIS"].iloc[:40], qlike(S, panel.to_numpy()[120:160]))


def test_calendar_schedule_and_history(panel):
    month = run_bakeoff(FIELD, panel, window=120, step="month")
    assert month.settings["decisions"] == 14 == len(month.decisions) / 3
    runs = [run_bakeoff(FIELD, panel, window=w, history=200, step=50) for w in (60, 200)]
    assert runs[0].qlike.index.equals(runs[1].qlike.index) and len(runs[0].qlike) == 220
    assert runs[0].backtests["long only"].net_returns.index.equals(runs[0].qlike.index)


def test_order_processes_and_repetition(panel):
    one, again = (run_bakeoff(FIELD, panel, window=120, step=60) for _ in range(2))
    turned = run_bakeoff(dict(reversed(FIELD.items())), panel.iloc[:, ::-1], window=120, step=60)
    both = run_bakeoff(FIELD, panel, window=120, step=60, n_jobs=2)
    pd.testing.assert_frame_equal(one.summary(), again.summary())
    pd.testing.assert_frame_equal(one.qlike, both.qlike)
    np.testing.assert_allclose(one.qlike, turned.qlike[list(FIELD)], rtol=1e-9)
    np.testing.assert_allclose(one.summary(), turned.summary().loc[list(FIELD)], rtol=1e-6)


def test_units_add_a_constant(panel):
    one, half = (run_bakeoff(FIELD, panel / k, window=120, step=60, costs=0.0) for k in (1, 2))
    np.testing.assert_allclose(half.qlike + 2 * np.log(2), one.qlike, rtol=1e-9)
    for name in FIELD:
        np.testing.assert_allclose(half.backtests["long only"].targets[name], one.backtests["long only"].targets[name], atol=1e-7)


def test_truth_wins_where_it_is_known():
    truth = factor_covariance(10)
    run = run_bakeoff(FIELD | {"truth": Told(truth)}, draw_returns(truth, 3000), window=60, step=60, costs=0.0)
    table = run.summary()
    assert table["QLIKE"].idxmin() == "truth" == table["short sales", "volatility"].idxmin()
    assert model_confidence_set(period_means(run.losses())).loc["truth", "in"]


def test_failures_are_named_and_have_no_average(panel):
    run = run_bakeoff(FIELD | {"moody": Moody()}, panel, window=120, step=40)
    failed = run.failures[run.failures["estimator"] == "moody"]
    assert 0 < len(failed) < run.settings["decisions"] and set(failed["reason"]) == {"no mood"} and set(failed["stage"]) == {"fit"}
    table = run.summary()
    assert table.loc["moody"].drop(("failures", "")).isna().all() and table.loc["moody", ("failures", "")] == len(failed)
    assert table.drop("moody").notna().all(axis=None) and list(run.losses()) == list(FIELD)
    assert list(run.losses("long only")) == list(FIELD)
    walked = run.backtests["long only"].failures
    assert len(walked) == len(failed) and walked["reason"].str.contains("no mood").all()
    assert "moody" in run._repr_html_() and f"Failures: {len(failed)}" in run._repr_html_()


def test_singular_sample_has_only_a_long_portfolio():
    short = pd.DataFrame(np.asarray(factor_returns(120, 30)))
    run = run_bakeoff(FIELD, short, window=20, step=50)
    assert set(run.failures["estimator"]) == {"sample"} and set(run.failures["stage"]) == {"QLIKE", "short sales"}
    table = run.summary()
    assert np.isnan(table.loc["sample", ("QLIKE", "")]) and table.loc["sample", ("long only", "volatility")] > 0
    assert list(run.losses()) == ["linear", "QIS"] and "sample" in run.losses("long only")


@pytest.mark.parametrize("bad", [np.full((8, 8), np.nan), np.eye(3)])
def test_what_is_no_covariance_is_a_failure(bad, panel):
    losses, held, failed = judge(Told(bad), panel.to_numpy()[:100], panel.to_numpy()[100:])
    assert losses is None and not held and failed[0][:2] in [("fit", "NonFiniteError"), ("fit", "ShapeError")]


def test_guests_of_scikit_learn(panel):
    guests = {"OAS": OAS(), "ours": LinearShrinkage(rule="oas", ddof=0), "LW": LedoitWolf()}
    run = run_bakeoff(guests, panel, window=120, step=60)
    np.testing.assert_allclose(run.qlike["OAS"], run.qlike["ours"], rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"estimators": {}}, DataError), ({"estimators": [LinearShrinkage()]}, DataError), ({"estimators": {"x": LinearShrinkage}}, DataError),
        ({"window": 1}, DataError), ({"window": 10.5}, DataError), ({"history": 50}, DataError), ({"step": 0}, DataError),
        ({"step": "fortnight"}, DataError), ({"costs": -1}, DataError), ({"window": 420}, InsufficientDataError), ({"step": "year", "history": 419}, InsufficientDataError),
    ],
)
def test_bad_arguments(change, error, panel):
    with pytest.raises(error):
        run_bakeoff(**({"estimators": FIELD, "returns": panel, "window": 120, "step": 60} | change))


def test_missing_returns_are_refused_by_name(panel):
    with pytest.raises(MissingDataError, match="c"):
        run_bakeoff(FIELD, panel.assign(c=np.nan), window=120)
    with pytest.raises(DataError, match="measure"):
        run_bakeoff(FIELD, panel, window=120, step=150).losses("Sharpe")


def test_record_is_frozen_and_draws(panel):
    run = run_bakeoff(FIELD, panel, window=120, step=100)
    with pytest.raises(AttributeError):
        run.qlike = None
    assert run.plot().get_xlabel() == "QLIKE"
    assert set(run.to_frame()) == {"date", "estimator", "QLIKE", *PORTFOLIOS}


def test_field_is_complete():
    field = covariance_field()
    assert len(field) == 13 and all(isinstance(e, CovarianceEstimator) for e in field.values())


def test_period_means_drop_the_first_rows():
    table = pd.DataFrame({"x": np.arange(10.0)})
    assert period_means(table, 4)["x"].to_list() == [3.5, 7.5]
