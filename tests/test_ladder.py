"The ladder: rungs as data, one walk for all, members kept, power that holds, portfolios that agree with the engine."

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.tree import DecisionTreeRegressor

from portfolio_ml.core.validation import DataError, InsufficientDataError, PortfolioError
from portfolio_ml.core.worlds import empty_world, signal_world
from portfolio_ml.forecast.harness import Forecasts, walk_forecast
from portfolio_ml.forecast.ladder import (
    claims_by_asset,
    count_better,
    detectable_r2,
    detectable_sharpe,
    detection_power,
    draw_sets,
    effective_number,
    hold_sets,
    probe_worlds,
)
from portfolio_ml.forecast.recurrent import LSTMForecaster
from portfolio_ml.forecast.rungs import (
    Rung,
    SeededEnsemble,
    climb,
    hold_rungs,
    ladder_task,
    member_scores,
    price_features,
    standard_rungs,
    train_rungs,
    walk_rungs,
)
from portfolio_ml.measure.inference import sharpe_power
from portfolio_ml.measure.resampling import Blocks

WORLD = signal_world(420, 4, strength=0.3, random_state=0)
X, Y = WORLD.task(window=1)
HOW = dict(first=250, refit=80)
TREES = SeededEnsemble(DecisionTreeRegressor(max_depth=3, max_features=0.5), seeds=3)
RUNGS = [Rung("zero", "none", standard_rungs()[0].model), Rung("ridge", "linear", path=("ridge", (10.0, 1000.0))), Rung("trees", "trees", TREES)]


@pytest.fixture(scope="module")
def walked():
    "Walk three rungs once."
    return walk_rungs(RUNGS, X, Y, **HOW)


def test_rungs_stand_in_order_and_say_what_they_are():
    rungs = standard_rungs()
    assert [r.name for r in rungs][:1] == ["zero"] and [r.name for r in rungs][-3:] == ["LSTM", "CNN-LSTM", "transformer"]
    assert len({r.name for r in rungs}) == len(rungs) == 11
    for bad in (dict(model=Ridge(), path=("ridge", (1,))), {}):
        with pytest.raises(DataError, match="give a model, or a path"):
            Rung("x", "y", **bad)


def test_members_are_what_each_seed_says_alone(walked):
    walk, members = walked
    assert list(walk.predictions) == ["zero", "ridge", "trees"] and list(members) == ["trees"]
    np.testing.assert_allclose(sum(members["trees"]) / 3, walk.predictions["trees"], atol=1e-15)
    single = DecisionTreeRegressor(max_depth=3, max_features=0.5, random_state=1)
    alone = walk_forecast({"one": single}, X, Y, **HOW).predictions["one"]
    pd.testing.assert_frame_equal(members["trees"][1], alone, check_freq=False)


def test_members_of_a_model_with_context_and_warm_start():
    net = LSTMForecaster(window=4, hidden=3, seeds=2, epochs=2, warm_start=True, warm_epochs=1, precision="double", random_state=0)
    walk, members = walk_rungs([Rung("LSTM", "network", net)], X, Y, **HOW)
    plain = walk_forecast({"LSTM": net}, X, Y, **HOW)
    np.testing.assert_allclose(walk.predictions["LSTM"], plain.predictions["LSTM"], rtol=1e-9)
    np.testing.assert_allclose((members["LSTM"][0] + members["LSTM"][1]) / 2, walk.predictions["LSTM"], rtol=1e-9)
    assert not hasattr(net, "weights_")  # the rung itself stays untouched


def test_the_same_seeds_give_the_same_forecasts(walked):
    again, members = walk_rungs(RUNGS, X, Y, **HOW)
    for name, table in walked[0].predictions.items():
        np.testing.assert_array_equal(again.predictions[name], table)
    for a, b in zip(members["trees"], walked[1]["trees"]):
        np.testing.assert_array_equal(a, b)


def test_ensemble_is_an_estimator():
    model = clone(TREES).set_params(seeds=2, model__max_depth=2)
    assert model.fit(X, Y).predict_members(X).shape == (len(X), 2) and model.members_[0].max_depth == 2
    for bad in (0, 1.5, True):
        with pytest.raises(DataError, match="seeds"):
            SeededEnsemble(Ridge(), seeds=bad).fit(X, Y)
    with pytest.raises(Exception, match="not fitted"):
        SeededEnsemble(Ridge()).predict(X)


def test_rungs_need_names_of_their_own():
    for bad in ([], [RUNGS[0], RUNGS[0]]):
        with pytest.raises(DataError, match="a name of its own"):
            walk_rungs(bad, X, Y, **HOW)


def test_known_forecasts_are_not_walked_again(walked):
    walk, members = walked
    seeds = member_scores(members, walk.truth, WORLD.returns)
    known = {"trees": walk.predictions["trees"].to_numpy(), "seeds": seeds}
    broken = [*RUNGS[:2], Rung("trees", "trees", "nobody asks me")]
    ladder, whole = climb(broken, X, Y, WORLD.returns, known=known, **HOW), climb(RUNGS, X, Y, WORLD.returns, **HOW)
    pd.testing.assert_frame_equal(ladder.summary(), whole.summary())
    assert list(known) == ["trees", "seeds"] and ladder.to_frame().shape[1] == 4 and "Ladder of 3" in ladder._repr_html_()


def test_table_of_a_ladder(walked):
    table = climb(RUNGS, X, Y, WORLD.returns, **HOW).summary()
    truth, f = walked[0].truth.to_numpy(), walked[0].predictions["ridge"].to_numpy()
    np.testing.assert_allclose(table.loc["ridge", "R2"], 100 * (1 - ((truth - f) ** 2).sum() / (truth**2).sum()))
    assert table.loc["zero", "R2"] == 0 and abs(table.loc["zero", "gain"]) < 0.01 and table.loc["ridge", "p"] < 0.05
    assert table["p below"].isna().tolist() == [True, False, False] and table["R2 seeds"].isna().tolist() == [True, True, False]


def test_slower_trades_turn_over_less(walked):
    fast, slow = (hold_rungs(walked[0].predictions, WORLD.returns, speed=s).turnover["ridge"].iloc[1:].sum() for s in (1.0, 0.2))
    assert slow < 0.5 * fast


def test_task_of_returns_and_of_volatility():
    long = empty_world(420, 3, random_state=1).returns
    X1, y1 = ladder_task(long)
    X2, y2 = ladder_task(long, label="volatility")
    assert X1.index.equals(X2.index) and X1.shape[1] == len(price_features()) == 20 and X1.abs().max().max() <= 1
    date = X1.index[0][0]
    ahead = long.iloc[long.index.get_loc(date) + 1 :].iloc[:20]
    log = np.log((ahead**2).mean()) / 2
    np.testing.assert_allclose(y2.loc[date], log - log.mean())
    np.testing.assert_allclose(y1.loc[date], (1 + ahead).prod() - (1 + ahead).prod().mean())
    months = long.iloc[::3].set_axis(pd.period_range("1990-01", periods=140, freq="M").to_timestamp(how="end"))
    assert ladder_task(months, unit="month", every=1, ahead=1)[0].shape == ((140 - 35) * 3, len(price_features("month")))


def test_the_task_does_not_see_the_future():
    long = empty_world(420, 3, random_state=1).returns
    other = long.copy()
    other.iloc[350:] = other.iloc[350:].to_numpy()[::-1]
    (a, _), (b, _) = ladder_task(long), ladder_task(other)
    early = a.index.get_level_values(0) <= long.index[349]
    pd.testing.assert_frame_equal(a[early], b[early])
    assert not a[~early].equals(b[~early])


@pytest.mark.parametrize("how", [{"every": 0}, {"ahead": 21}, {"unit": "week"}, {"label": "mean"}])
def test_a_task_that_makes_no_sense_is_refused(how):
    with pytest.raises(DataError):
        ladder_task(WORLD.returns, **how)


def test_a_short_history_is_refused():
    with pytest.raises(InsufficientDataError, match="look back 252"):
        ladder_task(WORLD.returns.iloc[:260])


def test_training_gives_what_a_climb_needs():
    returns = signal_world(480, 3, strength=0.3, persistence=0.9, random_state=2).returns
    plan = dict(task={"every": 5, "ahead": 10}, walk={"horizon": 2, "first": 20, "refit": 10})
    out = train_rungs(returns, names=["boosting"], settings={"seeds": 2, "horizon": 2}, hold={"costs": 0.0}, **plan)
    assert set(out) == {"boosting", "seeds"} and out["boosting"].dtype == np.float16 and len(out["seeds"]) == 2
    assert set(train_rungs(returns, names=["boosting"], settings={"seeds": 1, "horizon": 2}, **plan)) == {"boosting"}


def test_power_counts_worlds():
    probes = probe_worlds(lambda seed: signal_world(400, 4, strength=0.3, random_state=seed), RUNGS[:2], range(3), first=200, refit=200)
    table = detection_power(probes)
    assert table.loc["ridge", "power"] == 1 and table.loc["zero", "power"] == 0 and len(probes) == 6
    np.testing.assert_allclose(table["ceiling"], 0.09)


def test_claims_by_asset_have_their_size():
    rng = np.random.default_rng(0)
    truth, forecast = rng.standard_normal((2, 400, 800))
    assert abs(claims_by_asset(truth, forecast) - 0.05) < 3 * (0.05 * 0.95 / 800) ** 0.5
    assert claims_by_asset(truth, 0 * truth) == 0 and claims_by_asset(truth, truth) == 1


def test_detectable_r2_knows_scale_dependence_and_overlap():
    rng = np.random.default_rng(1)
    truth, forecast = (pd.DataFrame(rng.standard_normal((3000, 5))) for _ in range(2))
    least = detectable_r2(truth, forecast)
    np.testing.assert_allclose(least, 6.18 / 15_000, rtol=3 * (2 / 83) ** 0.5)
    np.testing.assert_allclose(detectable_r2(7 * truth, 0.01 * forecast), least)
    np.testing.assert_allclose(detectable_r2(*(pd.concat([x[[0]]] * 5, axis=1) for x in (truth, forecast))), 6.18 / 3000, rtol=3 * (2 / 83) ** 0.5)
    slow = [x.rolling(12).mean().iloc[11:] for x in (truth, forecast)]
    assert detectable_r2(*slow, horizon=12) > 4 * least
    gaps = truth.mask(rng.random(truth.shape) < 0.1)
    assert 0.9 * least < detectable_r2(gaps, forecast) < 1.5 * least
    with pytest.raises(DataError, match="never varies"):
        detectable_r2(truth, 0 * forecast + 1)


def test_detectable_sharpe_inverts_the_power():
    for years, related in ((5, 0.0), (30, 0.9)):
        gap = detectable_sharpe(0.5, years, related)
        np.testing.assert_allclose(sharpe_power(0.5 + gap, 0.5, years, correlation=related), 0.8, atol=1e-6)
    assert detectable_sharpe(0.5, 30, 0.9) < detectable_sharpe(0.5, 30, 0.0) < detectable_sharpe(0.5, 5, 0.0)


def test_sets_are_drawn_without_repeats():
    sets = draw_sets(20, 12, 50, random_state=3)
    assert sets.shape == (50, 12) and all(len(set(s)) == 12 for s in sets) and sets.max() < 20
    np.testing.assert_array_equal(sets, draw_sets(20, 12, 50, random_state=3))
    for size in (0, 21):
        with pytest.raises(DataError, match="size"):
            draw_sets(20, size)


def test_sets_held_by_hand():
    returns = np.array([[9.0, 9, 9], [0.1, 0.0, -0.1], [0.0, 0.2, 0.0], [0.1, 0.1, 0.1]])
    sets, rows = np.array([[0, 1]]), np.array([0, 2])
    weights = np.array([[[0.5, 0.5]], [[1.0, 0.0]]])
    drifted = np.array([0.55, 0.6]) / 1.15
    by_hand = [(1 - 0.01) * 1.05 - 1, 1.15 / 1.05 - 1, (1 - 0.01 * np.abs([1 - drifted[0], drifted[1]]).sum()) * 1.1 - 1]
    np.testing.assert_allclose(hold_sets(weights, sets, returns, rows, costs=0.01)[:, 0], by_hand)
    with pytest.raises(DataError, match="weights"):
        hold_sets(weights[:1], sets, returns, rows)


def test_counting_and_the_effective_number():
    rng = np.random.default_rng(0)
    common, own = rng.standard_normal((600, 1)), rng.standard_normal((600, 40))
    assert effective_number(own) > 25 and effective_number(common + 0.1 * own) < 1.2
    base = 0.01 * (common + own)
    table, draws = count_better(0.9 * base + 0.01, base, Blocks(600, 10, 300), 52)
    assert table.loc["both", "seen"] == 1 and (draws["volatility change"] < 0).all() and len(draws) == 300
    np.testing.assert_allclose(table.loc["return gain", "seen"], 5200 * (0.01 - 0.1 * base.mean()))
    np.testing.assert_allclose(table.loc["volatility change", "seen"], 100 * np.log(0.9))


def test_nothing_is_found_where_labels_are_missing_but_the_last():
    y = Y.copy()
    y.iloc[-8:] = np.nan
    walk, _ = walk_rungs(RUNGS[:2], X, y, **HOW)
    assert isinstance(walk, Forecasts) and walk.predictions["ridge"].notna().all(axis=None) and walk.truth.iloc[-2:].isna().all(axis=None)


def test_errors_are_of_the_house():
    with pytest.raises(PortfolioError):
        walk_rungs([Rung("x", "y", LinearRegression)], X, Y, **HOW)
