"The baselines: scikit-learn's conventions, the conformance suite, published numbers, edges, and mixes that make no sense."

import importlib.util
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from portfolio_ml.allocation.baselines import BuyAndHold, EqualWeight, FixedMix, InverseVolatility, inverse_volatility, mix_weights
from portfolio_ml.core.allocator import BaseAllocator, check_window
from portfolio_ml.core.testing import ALLOCATOR_CHECKS, check_allocator, factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    DuplicateAssetError,
    DuplicateDateError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    PortfolioError,
    UnsortedIndexError,
)
from portfolio_ml.data.catalog import load_returns

COST = 20.0
BASELINES = [EqualWeight(), InverseVolatility(), FixedMix(), BuyAndHold()]
MARKET = factor_returns(250, 4)
by_class = pytest.mark.parametrize("allocator", BASELINES, ids=lambda a: type(a).__name__)


# --- conventions -------------------------------------------------------------------------------------------------------------------


@parametrize_with_checks([*BASELINES, InverseVolatility(power=2.0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_scikit_learn_checks_do_not_need_skfolio_and_do_not_mind_it():
    code = """
import sys, unittest, warnings
from sklearn.utils.estimator_checks import estimator_checks_generator
from portfolio_ml.allocation.baselines import BuyAndHold, EqualWeight, FixedMix, InverseVolatility
{load}
warnings.simplefilter("ignore")
for estimator in (EqualWeight(), InverseVolatility(), FixedMix(), BuyAndHold()):
    for estimator, check in estimator_checks_generator(estimator):
        try:
            check(estimator)
        except unittest.SkipTest:
            pass
assert ("skfolio" in sys.modules) is {loaded}
"""
    there = importlib.util.find_spec("skfolio") is not None  # it comes with the extra peers
    for load, loaded in (("", False), ("import skfolio", True))[: 1 + there]:
        done = subprocess.run([sys.executable, "-c", code.format(load=load, loaded=loaded)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]


def test_the_checks_are_many():
    assert all(len(list(estimator_checks_generator(a))) > 35 for a in BASELINES)


@by_class
def test_conformance(allocator):
    assert (check_allocator(allocator)["result"] == "passed").all()
    assert (check_allocator(allocator, factor_returns(30, 3, random_state=7))["result"] == "passed").all()


def test_the_suite_reports_and_skips():
    named = FixedMix({"A0": 1.0})
    report = check_allocator(named, MARKET, errors="report")
    assert set(report.index[report["result"] == "failed"]) == {"labelled"}, "names stand on frames only"
    assert check_allocator(named, MARKET, skip=("labelled",)).loc["labelled", "result"] == "skipped"
    with pytest.raises(AssertionError, match="FixedMix fails `labelled`"):
        check_allocator(named, MARKET)
    with pytest.raises(DataError, match="no check is called speed"):
        check_allocator(named, skip=("speed",))
    assert len(ALLOCATOR_CHECKS) == 9


@by_class
def test_parameters_clones_and_pickles(allocator):
    fitted = clone(allocator).fit(MARKET)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.weights_, fitted.weights_)
    assert list(again.weights.index) == list(MARKET.columns) and again.weights.name == "weight"
    assert not hasattr(clone(fitted), "weights_") and clone(fitted).get_params() == allocator.get_params()
    assert allocator.set_params(**allocator.get_params()) is allocator
    assert type(allocator).__name__ in repr(allocator) and type(allocator).__name__ in allocator._repr_html_()
    assert type(allocator).__name__ in fitted._repr_html_()
    with pytest.raises(NotFittedError):
        _ = clone(allocator).weights
    with pytest.raises(ValueError, match="Invalid parameter"):
        allocator.set_params(window=3)
    assert fitted.n_features_in_ == 4 and list(fitted.feature_names_in_) == list(MARKET.columns)


@by_class
def test_prediction_is_the_return_of_constant_weights(allocator):
    fitted = clone(allocator).fit(MARKET[:200])
    np.testing.assert_allclose(np.asarray(fitted.predict(MARKET[200:])), MARKET[200:] @ fitted.weights_, atol=1e-15)


def test_ours_in_a_grid_search_and_a_pipeline():
    def score(estimator, X, y=None):
        return -float(np.asarray(estimator.predict(X)).std())

    search = GridSearchCV(InverseVolatility(), {"power": [0.0, 1.0, 2.0]}, scoring=score, cv=KFold(3)).fit(MARKET)
    assert search.best_params_ == {"power": 2.0}
    pipe = make_pipeline(StandardScaler(with_mean=False), InverseVolatility()).fit(MARKET)
    np.testing.assert_allclose(pipe[-1].weights_, 0.25)


def test_a_prediction_survives_pickling_when_skfolio_is_there():
    pytest.importorskip("skfolio", reason="needs the extra peers")
    from skfolio import Portfolio

    portfolio = EqualWeight().fit(MARKET).predict(MARKET)
    again = pickle.loads(pickle.dumps(portfolio))
    assert isinstance(again, Portfolio)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(portfolio))


@by_class
@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda X: X.assign(A1=np.nan), MissingDataError, "A1"),
        (lambda X: X.assign(A1=np.inf), NonFiniteError, "A1"),
        (lambda X: X.set_axis(["A", "B", "A", "C"], axis=1), DuplicateAssetError, "A stands more than once"),
        (lambda X: X.iloc[[0, 0, 1]], DuplicateDateError, "2015-01-01"),
        (lambda X: X[::-1], UnsortedIndexError, "row 1"),
        (lambda X: X.set_axis(X.index.where(np.arange(len(X)) != 5)), MissingDataError, "row"),
    ],
)
def test_bad_windows_are_refused_by_name(allocator, spoil, error, words):
    with pytest.raises(error, match=words):
        clone(allocator).fit(spoil(MARKET))


def test_too_few_rows_and_constant_assets():
    assert EqualWeight().fit(MARKET[:1]).weights_.tolist() == [0.25] * 4
    with pytest.raises(InsufficientDataError, match="1 sample"):
        InverseVolatility().fit(MARKET[:1])
    with pytest.raises(ConstantAssetError, match="A2 never changes"):
        InverseVolatility().fit(MARKET.assign(A2=0.001))
    assert np.isfinite(FixedMix().fit(MARKET.assign(A2=0.0)).weights_).all()


def test_a_subclass_says_how_or_is_told():
    class Silent(BaseAllocator):
        pass

    with pytest.raises(NotImplementedError, match="Silent does not say how it allocates"):
        Silent().fit(MARKET)

    class Named(BaseAllocator):
        def allocate_named(self, returns, names):
            return np.array([float(n == "A2") for n in names])

    assert Named().fit(MARKET).weights["A2"] == 1
    assert check_window(EqualWeight(), MARKET.to_numpy()).shape == (250, 4)


# --- numbers -----------------------------------------------------------------------------------------------------------------------


def test_published_numbers():
    np.testing.assert_allclose(inverse_volatility([0.1, 0.2, 0.3, 0.4]), [0.48, 0.24, 0.16, 0.12])  # Maillard, Roncalli, Teiletche (2010)
    np.testing.assert_allclose(inverse_volatility([0.1, 0.3]), [0.75, 0.25])
    np.testing.assert_allclose(inverse_volatility([0.1, 0.2], power=2), [0.8, 0.2])
    np.testing.assert_allclose(inverse_volatility([0.1, 0.2, 0.3], power=0), 1 / 3)


def test_against_skfolio_on_real_returns():
    optimization = pytest.importorskip("skfolio.optimization", reason="needs the extra peers")
    window = load_returns("us20").tail(252)
    np.testing.assert_allclose(EqualWeight().fit(window).weights_, optimization.EqualWeighted().fit(window).weights_, atol=1e-15)
    np.testing.assert_allclose(InverseVolatility().fit(window).weights_, optimization.InverseVolatility().fit(window).weights_, atol=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-8, 1e8), min_size=1, max_size=30), st.floats(0, 4), st.floats(1e-6, 1e6))
def test_inverse_volatility_is_a_portfolio_whatever_the_unit(volatility, power, unit):
    w = inverse_volatility(volatility, power)
    assert (w >= 0).all() and w.sum() == pytest.approx(1)
    np.testing.assert_allclose(inverse_volatility(np.array(volatility) * unit, power), w, rtol=1e-9, atol=1e-15)
    order = np.argsort(volatility)
    assert (np.diff(w[order]) <= 1e-12).all(), "more weight to the more volatile"


@pytest.mark.parametrize("bad", [0.0, -0.1, np.nan, np.inf])
def test_volatilities_that_are_none(bad):
    with pytest.raises(ConstantAssetError, match="asset number 1 is not a positive number"):
        inverse_volatility([0.1, bad, 0.2])


@pytest.mark.parametrize("power", [np.nan, np.inf])
def test_a_power_that_is_none(power):
    with pytest.raises(DataError, match="power"):
        InverseVolatility(power=power).fit(MARKET)


# --- mixes -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mix", [{"A0": 0.6, "A3": 0.4}, pd.Series([0.4, 0.6], ["A3", "A0"]), [0.6, 0, 0, 0.4], (0.6, 0, 0, 0.4), np.array([0.6, 0, 0, 0.4])]
)
def test_a_mix_in_every_form(mix):
    for allocator in (FixedMix(mix), BuyAndHold(mix)):
        np.testing.assert_allclose(allocator.fit(MARKET).weights_, [0.6, 0, 0, 0.4])


def test_a_named_mix_follows_its_names():
    mix = FixedMix({"A0": 0.6, "A3": 0.4})
    assert mix.fit(MARKET[["A3", "A1", "A0"]]).weights.to_dict() == {"A3": 0.4, "A1": 0.0, "A0": 0.6}
    numbered = FixedMix({0: 0.5, 2: 0.5}).fit(MARKET.set_axis(range(4), axis=1))
    assert numbered.weights_.tolist() == [0.5, 0, 0.5, 0]


def test_what_to_do_with_an_asset_that_is_not_there():
    mix, two = {"A0": 0.5, "A1": 0.3, "gold": 0.2}, MARKET[["A0", "A1"]]
    with pytest.raises(DataError, match="gold not among the assets"):
        FixedMix(mix).fit(two)
    assert FixedMix(mix, missing="cash").fit(two).weights_.tolist() == [0.5, 0.3]
    np.testing.assert_allclose(FixedMix(mix, missing="rescale").fit(two).weights_, [0.625, 0.375])
    np.testing.assert_allclose(FixedMix({"A0": 0.4, "gold": 0.4}, missing="rescale").fit(two).weights_, [0.8, 0])  # what is cash stays cash
    assert FixedMix({"gold": 1.0}, missing="rescale").fit(two).weights_.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"mix": "60/40"}, "mix: '60/40'"),
        ({"mix": 0.5}, "mix: 0.5 does not give 4 assets a weight each"),
        ({"mix": [0.6, 0.4]}, "name them, as in"),
        ({"mix": [[0.25] * 4]}, "mix"),
        ({"mix": [0.6, np.nan, 0, 0]}, "not finite: the weight of 1"),
        ({"mix": {"A0": np.inf, "A1": 1}}, "not finite: the weight of A0"),
        ({"mix": {"A0": "most", "A1": 1}}, "mix"),
        ({"mix": {"A0": None, "A1": 1}}, "not finite: the weight of A0"),
        ({"mix": pd.Series([0.5, 0.5], ["A0", "A0"])}, "more than once"),
        ({"mix": {"A0": 1.0, "A1": -1.0, "gold": 0.5}, "missing": "rescale"}, "without gold the weights sum to zero"),
        ({"missing": "Cash"}, "missing: 'Cash' is none of raise, cash, rescale"),
        ({"mix": {"A0": 0.5, "gold": 0.5}, "missing": None}, "missing: None"),
    ],
)
def test_a_mix_that_makes_no_sense(wrong, words):
    with pytest.raises(PortfolioError) as caught:
        FixedMix(**wrong).fit(MARKET)
    assert words in str(caught.value)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from("ABCDEFG"), st.floats(0.01, 1), min_size=1), st.sampled_from(["cash", "rescale"]))
def test_a_mix_spends_what_it_says(mix, missing):
    w = mix_weights(mix, ["A", "B", "C"], missing)
    assert (w >= 0).all()
    at_hand = sum(v for k, v in mix.items() if k in "ABC")
    assert w.sum() == pytest.approx(at_hand if missing == "cash" or not at_hand else sum(mix.values()))


def test_buy_and_hold_buys_once():
    held = [0.4, 0.3, 0.2, 0.05]
    for previous in (held, np.array(held), dict(zip(MARKET.columns, held)), pd.Series(held, MARKET.columns)):
        assert BuyAndHold({"A0": 1.0}, previous_weights=previous).fit(MARKET).weights_.tolist() == held
    for nothing in (None, 0.0, np.zeros(4), {}):
        assert BuyAndHold({"A0": 1.0}, previous_weights=nothing).fit(MARKET).weights_.tolist() == [1, 0, 0, 0]
    gone = BuyAndHold(previous_weights={"A0": 0.6, "elsewhere": 0.4}).fit(MARKET)
    assert gone.weights_.tolist() == [0.6, 0, 0, 0], "what is no longer there has become cash"
    with pytest.raises(DataError, match="not finite"):
        BuyAndHold(previous_weights=[np.nan, 1, 0, 0]).fit(MARKET)
