"Tuning: nested searches choose what a loop would choose, agree with one another, never look ahead, and keep a record."

import sys

import numpy as np
import pandas as pd
import pytest
from skfolio.model_selection import cross_val_predict
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from portfolio_ml.allocation.baselines import EqualWeight, FixedMix, InverseVolatility
from portfolio_ml.backtest.splits import WalkForwardSplit
from portfolio_ml.backtest.tuning import (
    Chronological,
    OptunaSearch,
    TunedAllocator,
    inner_splits,
    score_weights,
    walk_tuned,
    weight_scorer,
)
from portfolio_ml.backtest.walk_forward import check_no_lookahead, walk_forward
from portfolio_ml.core.testing import check_allocator, factor_returns
from portfolio_ml.core.validation import DataError, InsufficientDataError, LookAheadError, MissingExtraError, PortfolioError

X = factor_returns(300, 5)
POWERS = {"power": [0.0, 0.5, 1.0, 3.0]}


def tuned(**kw):
    "Tune the power of inverse volatility."
    return TunedAllocator(InverseVolatility(), POWERS, **kw)


def best_by_loop(frame, measure):
    "Choose by a plain loop over settings and splits."
    def score(p):
        parts = []
        for train, test in inner_splits(len(frame)).split(frame):
            w = InverseVolatility(power=p).fit(frame.iloc[train]).weights_
            parts.append(measure(frame.iloc[test].to_numpy() @ w))
        return np.mean(parts)

    scores = [score(p) for p in POWERS["power"]]
    return POWERS["power"][int(np.argmax(scores))], max(scores)


@pytest.mark.parametrize("search", ["grid", "optuna"])
@pytest.mark.parametrize(
    ("scoring", "measure"),
    [("sharpe", lambda r: r.mean() / r.std(ddof=1)), ("variance", lambda r: -r.var(ddof=1)), ("mean", np.mean)],
)
def test_it_chooses_what_a_loop_chooses(search, scoring, measure):
    "Setting, score, and weights on the whole window."
    found = tuned(search=search, scoring=scoring).fit(X)
    power, score = best_by_loop(X, measure)
    assert found.best_params_ == {"power": power}
    np.testing.assert_allclose(found.best_score_, score)
    np.testing.assert_allclose(found.weights, InverseVolatility(power=power).fit(X).weights)


def test_scikit_learn_and_optuna_agree_on_a_grid():
    "All eight combinations of two settings of which one does nothing: ties go to the first, as in scikit-learn."
    for seed in range(4):
        panel = factor_returns(200, 4, random_state=seed)
        params = {"power": [0.0, 1.0, 2.0], "mix": [1, 2]}
        both = [TunedAllocator(Pointless(), params, search=s, random_state=seed).fit(panel) for s in ("grid", "optuna")]
        assert both[0].best_params_ == both[1].best_params_ and both[0].best_params_["mix"] == 1
        np.testing.assert_allclose(both[0].best_score_, both[1].best_score_)


class Pointless(InverseVolatility):
    "Inverse volatility with a setting that does nothing."

    def __init__(self, power=1.0, mix=1):
        super().__init__(power=power)
        self.mix = mix


def test_random_and_halving_choose_among_what_is_given():
    "Seeded; halving shuffles rows, and they are put in order before an allocator sees them."
    random = [tuned(search="random", n_iter=2, random_state=3).fit(X).best_params_ for _ in range(2)]
    assert random[0] == random[1] and random[0]["power"] in POWERS["power"]
    halving = tuned(search="halving").fit(X)
    assert halving.best_params_["power"] in POWERS["power"] and list(halving.best_params_) == ["power"]
    shuffled = X.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(Chronological(InverseVolatility()).fit(shuffled).weights_, InverseVolatility().fit(X).weights_)
    assert tuned(search="halving").fit(X.to_numpy()).weights_.shape == (5,)


def test_optuna_searches_ranges_and_is_seeded_and_quiet(caplog, capsys):
    "Floats from a pair of floats, whole numbers from a pair of those; nothing is logged; the seed decides."
    search = TunedAllocator(Pointless(), {"power": (0.0, 3.0), "mix": (1, 9)}, search="optuna", n_iter=8)
    one, two = search.fit(X).best_params_, search.fit(X).best_params_
    assert one == two and 0 <= one["power"] <= 3 and isinstance(one["mix"], int)
    out = capsys.readouterr()
    assert not caplog.records and not out.out and not out.err
    with pytest.raises(DataError, match="power"):
        TunedAllocator(InverseVolatility(), {"power": "all"}, search="optuna").fit(X)


def test_without_optuna_the_extra_is_named(monkeypatch):
    "A typed error says what to install."
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"portfolio_ml\[ml\]"):
        tuned(search="optuna").fit(X)
    assert tuned().fit(X).best_params_


def test_it_is_an_allocator():
    "The book's suite, scikit-learn's checks, skfolio's cross-validation, a pipeline, an array without names."
    assert (check_allocator(tuned())["result"] == "passed").all()
    failed = [r["check_name"] for r in check_estimator(tuned(), on_fail=None) if r["status"] == "failed"]
    assert not failed
    assert len(np.asarray(cross_val_predict(tuned(), X, cv=WalkForwardSplit(200, 25)).returns)) == 100
    pipe = Pipeline([("same", FunctionTransformer(feature_names_out="one-to-one")), ("tuned", tuned())])
    bt = walk_forward({"pipe": pipe, "plain": tuned()}, X, window=200, rebalance=25)
    assert not len(bt.failures)
    pd.testing.assert_frame_equal(bt.targets["pipe"], bt.targets["plain"])


def test_nothing_of_the_future_chooses():
    "The nested search passes the test for looking ahead with each search; one fitted on everything is caught."
    how = dict(window=200, rebalance=25, n_cuts=1)
    for search in ("grid", "optuna"):
        assert check_no_lookahead({"tuned": tuned(search=search)}, X, **how)["largest difference"].max() == 0

    def on_everything(panel):
        return FixedMix(dict(zip(panel.columns, tuned(scoring="mean").fit(panel).weights_ + 0 * panel.iloc[-1] + panel.iloc[-1].rank())))

    with pytest.raises(LookAheadError):
        check_no_lookahead(lambda panel: {"all": on_everything(panel)}, X, **how)


def test_choosing_on_everything_is_biased_and_nested_is_not():
    "Forty worlds of noise and eight mixes: the best of the whole history shows what is not there, beyond five errors."
    mixes = [dict(zip("ABCD", w)) for w in np.random.default_rng(0).standard_normal((8, 4))]
    told = []
    for seed in range(40):
        noise = pd.DataFrame(np.random.default_rng(seed).standard_normal((480, 4)) / 100, columns=list("ABCD"))
        earned = noise.to_numpy() @ np.array([list(m.values()) for m in mixes]).T
        window, rest = noise.iloc[:240], slice(240, None)
        chosen = GridSearchCV(Mixed(mixes), {"which": range(8)}, scoring=weight_scorer("mean"), cv=inner_splits(240)).fit(window)
        late = earned[rest].mean(axis=0) / earned[rest].std(axis=0)
        told.append((late.max() * 252**0.5, late[chosen.best_params_["which"]] * 252**0.5))
    best, nested = np.array(told).T
    assert best.mean() > 5 * best.std() / 40**0.5 and abs(nested.mean()) < 3 * nested.std() / 40**0.5


class Mixed(EqualWeight):
    "Hold one of several mixes."

    def __init__(self, mixes=(), which=0):
        self.mixes, self.which = mixes, which

    def allocate_named(self, returns, names):
        "Give the mix."
        return np.array([self.mixes[self.which][n] for n in names])


def test_the_record_says_what_was_chosen_when():
    "One row a decision, equal to a search of that window; a backtest like the plain one; summary and picture."
    import matplotlib

    matplotlib.use("Agg")
    walk = walk_tuned({"tuned": tuned(), "1/N": EqualWeight()}, X, window=200, rebalance=25, costs=0.001)
    plain = walk_forward({"tuned": tuned(), "1/N": EqualWeight()}, X, window=200, rebalance=25, costs=0.001)
    pd.testing.assert_frame_equal(walk.backtest.net_returns, plain.net_returns)
    table = walk.choices["tuned"]
    assert list(walk.choices) == ["tuned"] and list(table.index) == list(plain.targets["tuned"].index)
    for date in table.index[[0, -1]]:
        again = tuned().fit(X.loc[:date].tail(200))
        assert table.loc[date, "power"] == again.best_params_["power"] and table.loc[date, "score"] == again.best_score_
    assert walk.summary()["decisions"].sum() == len(table) and len(walk.to_frame()) == len(table)
    assert walk.plot(title="x")[0].get_title() == "x"
    search = GridSearchCV(InverseVolatility(), POWERS, scoring=weight_scorer(), cv=inner_splits(200))
    pd.testing.assert_frame_equal(walk_tuned({"tuned": search}, X, window=200, rebalance=25).choices["tuned"], table)
    with pytest.raises(DataError, match="plot"):
        walk.plot("1/N")
    with pytest.raises(DataError, match="n_jobs"):
        walk_tuned(tuned(), X, n_jobs=2)
    with pytest.raises(DataError, match="chooses"):
        walk_tuned(EqualWeight(), X)


def test_scores_of_weights():
    "Sharpe, variance, mean by hand; one row and constant returns score zero; own scorers pass through."
    held = EqualWeight().fit(X)
    r = X.mean(axis=1)
    np.testing.assert_allclose(score_weights(held, X), r.mean() / r.std())
    np.testing.assert_allclose(weight_scorer("variance")(held, X.to_numpy()), -r.var())
    assert score_weights(held, X.iloc[:1]) == 0 == score_weights(held, 0 * X) == weight_scorer("variance")(held, X.iloc[:1])
    assert weight_scorer(len) is len


@pytest.mark.parametrize(
    ("allocator", "window", "error", "match"),
    [
        (tuned(search="guess"), X, DataError, "search"),
        (tuned(scoring="luck"), X, DataError, "scoring"),
        (TunedAllocator(InverseVolatility(), {"speed": [1]}), X, DataError, "no speed"),
        (TunedAllocator(InverseVolatility(), {"power": []}), X, DataError, "no values for power"),
        (TunedAllocator(InverseVolatility(), {}), X, DataError, "params"),
        (tuned(), X.iloc[:3], InsufficientDataError, "at least 4"),
        (TunedAllocator(InverseVolatility(), {"power": [np.nan]}), X, PortfolioError, "no candidate could be scored"),
        (TunedAllocator(InverseVolatility(), {"power": [np.nan]}, search="optuna"), X, PortfolioError, "no candidate could be scored"),
    ],
)
def test_what_makes_no_sense_is_refused(allocator, window, error, match):
    "Each by its name."
    with pytest.raises(error, match=match):
        allocator.fit(window)


def test_a_candidate_that_fails_is_passed_over():
    "One of three powers cannot be fitted; the others are compared."
    for search in ("grid", "optuna"):
        assert TunedAllocator(InverseVolatility(), {"power": [np.nan, 0.0, 1.0]}, search=search).fit(X).best_params_["power"] in (0.0, 1.0)


def test_optuna_search_stands_alone():
    "As an allocator in the engine, with its trials in a table."
    search = OptunaSearch(InverseVolatility(), POWERS, scoring=weight_scorer(), cv=inner_splits(200))
    assert len(search.fit(X.iloc[:200]).trials_) == 4
    assert not len(walk_forward({"optuna": search}, X, window=200, rebalance=50).failures)
