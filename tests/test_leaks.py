"Leak detectors: each planted leak is caught each time, each honest pipeline passes each time; errors are typed and speak."

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import SelectKBest, f_classif, f_regression
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, TimeSeriesSplit, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from portfolio_ml.backtest.leaks import (
    LeakReport,
    check_experiment,
    check_features,
    check_fits,
    check_forecasts,
    check_label_overlap,
    check_model,
    check_prepared,
    check_targets,
    check_twins,
    find_leaks,
    overlapping_rows,
    placebo_test,
    target_likeness,
)
from portfolio_ml.backtest.splits import CombinatorialPurgedCV, PurgedKFold, WalkForwardSplit
from portfolio_ml.core.disturbance import (
    FitLog,
    compare_rows,
    cross_validated,
    cut_rows,
    disturb_rows,
    disturb_target,
    mark_rows,
    out_of_sample_correlation,
    read_splits,
    run_twice,
    with_spies,
)
from portfolio_ml.core.validation import DataError, InsufficientDataError, LookAheadError, PortfolioError, ShapeError, UnsortedIndexError
from portfolio_ml.core.worlds import empty_world, signal_world

SEEDS = range(10)
FOLDS = KFold(3)
PICK, OLS = SelectKBest(f_regression, k=2), LinearRegression()


def market(seed=0, n_obs=250, n_features=10):
    "Make an empty market: returns, features and next returns of its first asset."
    world = empty_world(n_obs, 2, n_features=n_features, random_state=seed)
    return world.returns, *world.task("A0")


def accused(check, *args, **kwargs):
    "Tell whether a check finds a leak."
    try:
        check(*args, **kwargs)
    except LookAheadError:
        return True
    return False


def rolling(newest, every=5, size=60):
    "Make a walk-forward forecast by least squares that knows labels up to `newest` rows ago."

    def forecast(X, y):
        A, b, out = np.column_stack([np.ones(len(X)), np.asarray(X)[:, :3]]), np.asarray(y), np.full(len(X), np.nan)
        for t in range(size + newest, len(X), every):
            use = slice(t - newest - size + 1, t - newest + 1)
            out[t] = A[t] @ np.linalg.lstsq(A[use], b[use])[0]
        return out

    return forecast


class MeanEncoder(TransformerMixin, BaseEstimator):
    "Replace a group by the mean target of the rows that it was fitted on."

    def fit(self, X, y):
        self.means_ = y.groupby(X["g"]).mean()
        return self

    def transform(self, X):
        return X["g"].map(self.means_).fillna(0.0).to_frame()


def encode(X, y):
    "Replace a group by the mean target of its rows, all rows."
    return X["g"].map(y.groupby(X["g"]).mean()).to_frame()


def on_all(model, X, y):
    "Fit the transformers on all rows, then cross-validate the rest."
    return cross_val_predict(model[-1], model[:-1].fit_transform(X, y), y, cv=FOLDS)


def by_fold(model, X, y):
    "Cross-validate the pipeline."
    return cross_val_predict(model, X, y, cv=FOLDS)


def month_mean(r):
    "Give each day the mean of its month, days to come included."
    return r.groupby([r.index.year, r.index.month]).transform("mean")


def twins_of(X, seed):
    "Repeat ten rows, up to rounding."
    return pd.concat([X, X.sample(10, random_state=seed) + 1e-13], ignore_index=True)


def cases(seed):
    "Make leaky and honest pipelines: name to (leaky, honest)."
    R, X, y = market(seed)
    rng = np.random.default_rng(seed)
    gappy, group = R.where(rng.random(R.shape) > 0.02), pd.DataFrame({"g": rng.integers(0, 5, len(X))}, X.index)
    shuffled, scaler, piped = KFold(3, shuffle=True, random_state=seed), StandardScaler(), make_pipeline(StandardScaler(), Ridge())

    def feature(make, data=R):
        return lambda: check_features(make, data, n_cuts=3, random_state=seed)

    def model(X, model, prepare=None):
        return lambda: check_model(model, X, y, KFold(2), prepare=prepare, random_state=seed)

    return {
        "look-ahead by one day": (feature(lambda r: r.shift(-1)), feature(lambda r: r.shift(1))),
        "centred moving average": (feature(lambda r: r.rolling(5, center=True).mean()), feature(lambda r: r.rolling(5).mean())),
        "full-sample standardisation": (feature(lambda r: (r - r.mean()) / r.std()), feature(lambda r: r / r.expanding(5).std())),
        "back-fill": (feature(lambda r: r.bfill(), gappy), feature(lambda r: r.ffill(), gappy)),
        "interpolation": (feature(lambda r: r.interpolate(), gappy), feature(lambda r: r.ffill().ewm(10).mean(), gappy)),
        "mean of the whole month": (feature(month_mean), feature(lambda r: r.groupby([r.index.year, r.index.month]).cumsum())),
        "ranks over all days": (feature(lambda r: r.rank()), feature(lambda r: r.rank(axis=1))),
        "last row only": (feature(lambda r: r - r.iloc[-1]), feature(lambda r: r - r.iloc[0])),
        "target among features": (lambda: check_targets(X.assign(z=y), y), lambda: check_targets(X.assign(z=R["A0"]), y)),
        "sign of the target": (lambda: check_targets(X.assign(z=np.sign(y)), y), lambda: check_targets(X.assign(z=np.sign(R["A0"])), y)),
        "target a day later": (lambda: check_targets(X.assign(z=y.shift(-1)), y), lambda: check_targets(X.assign(z=y.shift(1)), y)),
        "scaler fitted on all, rows": (lambda: check_fits(on_all, piped, X, y, FOLDS), lambda: check_fits(by_fold, piped, X, y, FOLDS)),
        "scaler fitted on all, values": (lambda: check_prepared(scaler, X, y, FOLDS), lambda: check_prepared(lambda X, y: np.tanh(X), X, y, FOLDS)),
        "scaler fitted on all, predictions": (model(X, Ridge(), scaler), model(X, piped)),
        "selection on all": (model(X, OLS, PICK), model(X, make_pipeline(PICK, OLS))),
        "selection on all, values": (lambda: check_prepared(PICK, X, y, FOLDS), lambda: check_prepared(lambda X, y: X.iloc[:, :2], X, y, FOLDS)),
        "encoded on all": (model(group, OLS, encode), model(group, make_pipeline(MeanEncoder(), OLS))),
        "label not known yet": (
            lambda: check_forecasts(rolling(0), X, y, n_cuts=3, random_state=seed), lambda: check_forecasts(rolling(1), X, y, n_cuts=3, random_state=seed),
        ),
        "20-day label not known yet": (
            lambda: check_forecasts(rolling(19), X, y, horizon=20, random_state=seed), lambda: check_forecasts(rolling(20), X, y, horizon=20, random_state=seed),
        ),
        "overlapping labels": tuple(lambda gap=gap: check_label_overlap(TimeSeriesSplit(3, gap=gap), 20, len(X)) for gap in (18, 19)),
        "twins": (lambda: check_twins(twins_of(X, seed), shuffled), lambda: check_twins(X, shuffled)),
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_each_leak_is_caught_and_each_honest_pipeline_passes(seed):
    "Twenty-one kinds of leaks, each with its honest sister, each time."
    missed, wronged = [], []
    for name, (leaky, honest) in cases(seed).items():
        missed += [] if accused(leaky) else [name]
        wronged += [name] if accused(honest) else []
    assert not missed, f"not caught: {missed}"
    assert not wronged, f"wrongly accused: {wronged}"


def test_a_selection_is_caught_where_the_signal_is_plain():
    "Features that any sample would select: scrambled labels change nothing, labels that follow another feature do."
    world = signal_world(400, 1, strength=0.9, random_state=0)
    X, y = world.task("A0")
    one = SelectKBest(f_regression, k=1)
    with pytest.raises(LookAheadError, match="split"):
        check_model(OLS, X, y, KFold(5), prepare=one)
    assert not accused(lambda: check_model(make_pipeline(one, OLS), X, y, KFold(5)))


def test_messages_name_feature_row_and_step():
    "Who reads the message knows where to look."
    R, X, y = market(3)
    with pytest.raises(LookAheadError, match=r"features: peek at 2000-\d\d-\d\d changed by .* after 2000-\d\d-\d\d was scrambled"):
        check_features(lambda r: r.assign(peek=r["A0"].shift(-1)), R)
    with pytest.raises(LookAheadError, match=r"A0 .* cut off"):
        check_features(lambda r: r.assign(A0=float(len(r))), R)  # the values do not matter, the length does
    with pytest.raises(LookAheadError, match=r"standardscaler was fitted on 249 of 249 rows, 83 of them test rows of split \d"):
        check_fits(on_all, make_pipeline(StandardScaler(), Ridge()), X, y, FOLDS)
    with pytest.raises(LookAheadError, match="features of later rows"):
        check_forecasts(lambda X, y: X["x1"].shift(-1), X, y)
    with pytest.raises(LookAheadError, match="labels that were not known yet"):
        check_forecasts(lambda X, y: y.shift(0), X, y)
    with pytest.raises(LookAheadError, match="labels of the test rows"):
        check_experiment(lambda X, y: y + 0 * X["x1"], X, y, FOLDS)
    with pytest.raises(LookAheadError, match="z copies the target: .* 1 row.s. later"):
        check_targets(X.assign(z=y.shift(-1)), y)
    with pytest.raises(LookAheadError, match="166 of 166 training rows of split 0"):
        check_prepared(StandardScaler(), X, y, FOLDS)


def test_random_is_not_leaky():
    "A pipeline without a seed is sent back; with one it is judged."
    R, X, y = market(1, 120)
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="two runs on the same data differ in A0 and A1"):
        check_features(lambda r: r + rng.normal(size=r.shape), R)
    with pytest.raises(DataError, match="random_state"):
        check_model(RandomForestRegressor(3), X, y, KFold(2))
    check_model(RandomForestRegressor(3, random_state=0), X, y, KFold(2), n_tries=1)
    with pytest.raises(LookAheadError):
        check_features(lambda r: r.shift(-1) + np.random.default_rng(0).normal(size=r.shape), R)


def test_rounding_and_missing_values_are_forgiven():
    "Differences of rounding and gaps that stay are no leak; a gap that closes is one."
    R = market(2)[0]
    fft = check_features(lambda r: pd.DataFrame(np.cumsum(r.to_numpy()[::1], axis=0) * (1 + 1e-13 * len(r)), r.index), R)
    assert (fft["largest change"] == 0).all()
    check_features(lambda r: r.rolling(50).mean(), R)
    check_features(lambda r: r.rolling(20).mean().dropna(), R)  # a table that starts later
    with pytest.raises(LookAheadError):
        check_features(lambda r: r.iloc[:-1], R)  # a row that is there only once the next one is
    with pytest.raises(LookAheadError):
        check_features(lambda r: r.loc[:, r.sum() > r.sum().median() - 1e-12].reindex(columns=r.columns), R)  # the winners only


def test_features_may_refuse_short_data():
    "A function that cannot run on few rows is judged by scrambling alone; one that cannot run at all is an error."
    R = market(2)[0]

    def picky(r):
        if len(r) < len(R):
            raise ValueError("too short")
        return r.rolling(5).mean()

    assert set(check_features(picky, R)["future"]) == {"scrambled"}
    with pytest.raises(ZeroDivisionError):
        check_features(lambda r: r / (1 // 0), R)


def test_classes_and_other_kinds_of_tables():
    "Arrays, classes, text columns; the honest pass and the leaky do not."
    _, X, y = market(4, 200)
    up = (y > 0).astype(int)
    pick = SelectKBest(f_classif, k=2)
    for features, target in ((X, up), (X.to_numpy(), up.to_numpy())):
        assert not accused(check_model, make_pipeline(pick, LogisticRegression()), features, target, KFold(2))
        assert accused(check_model, LogisticRegression(), features, target, KFold(2), prepare=pick)
    text = pd.DataFrame({"g": np.random.default_rng(0).choice(list("abc"), 199)}, X.index)
    assert accused(lambda: check_prepared(encode, text, y, KFold(2)))
    assert not accused(lambda: check_prepared(lambda X, y: X["g"] == "a", text, y, KFold(2)))


def test_spies_change_nothing_and_see_everything():
    "Scores are the same; every fit of a nested search is within a training set, a refit on all rows is not."
    _, X, y = market(5)
    pipe = make_pipeline(StandardScaler(), PICK, Ridge())
    log = FitLog()
    np.testing.assert_array_equal(cross_val_score(with_spies(pipe, log), X, y, cv=FOLDS), cross_val_score(pipe, X, y, cv=FOLDS))
    assert [n for n, _ in log] == 3 * ["standardscaler", "selectkbest", "ridge"]
    assert all(np.isin(seen, mark_rows(X)).all() for n, seen in log if n == "standardscaler")

    def nested(model, X, y):
        return cross_val_score(GridSearchCV(model, {"ridge__estimator__alpha": [0.1, 10.0]}, cv=2), X, y, cv=FOLDS)

    table = check_fits(nested, pipe, X, y, FOLDS)
    assert len(table) == 3 * (2 * 2 + 1) * 3
    with pytest.raises(LookAheadError, match="fitted on 249 of 249"):
        check_fits(lambda m, X, y: GridSearchCV(m, {}, cv=FOLDS).fit(X, y), pipe, X, y, FOLDS)
    with pytest.raises(DataError, match="never fitted"):
        check_fits(lambda m, X, y: None, pipe, X, y, FOLDS)
    up = (y > 0).astype(int)
    check_fits(lambda m, X, y: cross_val_score(m, X, y, cv=FOLDS), LogisticRegression(), X, up, FOLDS)


def by_hand(train, test, spans, embargo):
    "Find overlaps pair by pair: labels earned over (t, t + h] that share a period, or the embargo after a test label."
    bad = set()
    for i in train:
        for j in test:
            overlap = max(i, j) < min(i + spans[i], j + spans[j])
            after = j <= i < j + spans[j] + embargo
            if overlap or (after and embargo):
                bad.add(i)
    return sorted(bad)


@pytest.mark.parametrize("seed", range(20))
def test_overlaps_are_those_of_all_pairs(seed):
    "Against the definition, pair by pair, with spans that differ from row to row and test rows anywhere."
    rng = np.random.default_rng(seed)
    n, embargo = 60, int(rng.integers(0, 4))
    spans = rng.integers(1, 9, n) if seed % 2 else np.full(n, rng.integers(1, 9))
    test = np.sort(rng.choice(n, 12, replace=False)) if seed % 3 else np.arange(20, 32)
    train = np.setdiff1d(np.arange(n), test)
    found = overlapping_rows([(train, test)], spans, n, embargo)
    assert sorted(found["row"]) == by_hand(train, test, spans, embargo)
    for row, reason, other in found[["row", "reason", "test row"]].itertuples(index=False):
        met = max(row, other) < min(row + spans[row], other + spans[other])
        assert met if reason == "labels overlap" else other <= row < other + spans[other] + embargo


@pytest.mark.parametrize("horizon", [1, 5, 20])
@pytest.mark.parametrize("embargo", [0, 7])
def test_splits_that_purge_pass(horizon, embargo):
    "The book's purged splits pass; one row less, in their count, purges exactly the rows that the detector names."
    purged, combined = PurgedKFold(4, horizon=horizon, embargo=embargo), CombinatorialPurgedCV(5, 2, horizon=horizon, embargo=embargo)
    for cv in (purged, combined, WalkForwardSplit(50, 20, horizon=horizon)):
        assert not accused(check_label_overlap, cv, horizon, 200, embargo)
    exact = CombinatorialPurgedCV(5, 2, horizon=horizon - 1, embargo=embargo)
    plain = [(np.setdiff1d(np.arange(200), test), test) for _, test in exact.split(np.empty(200))]
    found = overlapping_rows(plain, horizon, 200, embargo)
    for k, (kept, _) in enumerate(exact.split(np.empty(200))):
        np.testing.assert_array_equal(np.setdiff1d(plain[k][0], found.loc[found["split"] == k, "row"]), kept)


def test_a_horizon_of_one_overlaps_nothing():
    "Next-day labels need no purge; twenty-day ones nineteen rows on each side; a row in both sets is named."
    assert overlapping_rows(KFold(5), 1, 100).empty and not accused(lambda: check_label_overlap(KFold(5), 1, 100))
    counts = overlapping_rows(KFold(5), 20, 200).groupby("split").size()
    assert list(counts) == [19, 38, 38, 38, 19]
    both = overlapping_rows([([1, 2, 3], [3, 4])], 1, 10)
    assert list(both["row"]) == [3] and list(both["reason"]) == ["in both"] and list(both["test row"]) == [3]


def test_look_back_is_told_from_a_leak():
    "Rolling features under k-fold: rows behind the test rows are counted, not accused; a centred window is accused."
    _, X, y = market(6)
    table = check_prepared(lambda X, y: X.rolling(6).mean(), X, y, FOLDS)
    assert list(table.iloc[:, 2]) == [5, 5, 0]
    assert accused(lambda: check_prepared(lambda X, y: X.rolling(5, center=True).mean(), X, y, FOLDS))


def test_overlapping_test_sets():
    "Combinatorial splits are checked one by one; an opaque experiment on them cannot be."
    _, X, y = market(7, 120)
    rows = np.array_split(np.arange(len(X)), 4)
    pairs = [(np.concatenate([rows[k] for k in range(4) if k not in two]), [rows[k] for k in two]) for two in ((0, 1), (0, 2), (1, 3))]
    assert not accused(lambda: check_model(make_pipeline(PICK, OLS), X, y, pairs))
    assert accused(lambda: check_model(OLS, X, y, pairs, prepare=PICK))
    with pytest.raises(DataError, match="several splits"):
        check_experiment(cross_validated(OLS, pairs), X, y, pairs)


def test_slow_targets():
    "Prices are like any slow feature; only an exact copy counts there."
    _, X, y = market(8)
    price = (1 + y).cumprod().rename("price")
    assert not accused(lambda: check_targets(X.assign(z=price.shift(1)), price))
    assert accused(lambda: check_targets(X.assign(z=2 * price + 1), price))
    likeness = target_likeness(X.assign(flat=1.0, gone=np.nan), y)
    assert likeness.loc[["flat", "gone"], "likeness"].eq(0).all() and likeness["likeness"].max() < 0.4


def score_split(X, y):
    "Fit on the first half by least squares, correlate on the second."
    A, half = np.column_stack([np.ones(len(X)), X]), len(X) // 2
    return np.corrcoef(A[half:] @ np.linalg.lstsq(A[:half], y[:half])[0], y[half:])[0, 1]


def test_size_of_the_placebo_test():
    "Without a leak five per cent of tests are below five per cent, within three Monte Carlo errors; one per cent likewise."
    rng = np.random.default_rng(0)
    p = []
    for k in range(600):
        X, y = rng.standard_normal((60, 3)), rng.standard_t(4, 60)
        p.append(placebo_test(score_split, X, y, n_placebos=8, random_state=k, progress=False).p_value)
    for level in (0.05, 0.1):
        assert abs(np.mean(np.array(p) < level) - level) < 3 * np.sqrt(level * (1 - level) / 600)


def test_power_of_the_placebo_test():
    "Selection and encoding on all rows are found on each of many permuted targets; within folds they are not."
    for seed in range(5):
        rng = np.random.default_rng(seed)
        X, y = rng.standard_normal((120, 100)), rng.standard_normal(120)
        pick = SelectKBest(f_regression, k=5)
        leaky, honest = cross_validated(OLS, FOLDS, pick), cross_validated(make_pipeline(pick, OLS), FOLDS)
        p = [placebo_test(lambda X, y, e=e: out_of_sample_correlation(e, X, y), X, y, n_placebos=10, random_state=seed).p_value for e in (leaky, honest)]
        assert p[0] < 1e-4 and p[1] > 0.01


def test_find_leaks():
    "One call: what was asked, what was found, what could not be decided; it raises on demand and shows itself."
    R, X, y = market(9)
    piped = make_pipeline(StandardScaler(), Ridge())
    clean = find_leaks(
        X, y, features=lambda r: r.rolling(5).mean(), data=R, forecast=rolling(1), model=piped, prepare=lambda X, y: np.tanh(X),
        evaluate=by_fold, splits=FOLDS, n_placebos=8,
    )
    assert clean.ok and set(clean.to_frame()["result"]) == {"passed"} and clean.raise_leaks() is clean
    assert "passed" in clean._repr_html_() and "features: passed" in repr(clean) and clean.summary()["passed"] == 9
    dirty = find_leaks(
        X.assign(z=y), y, features=lambda r: r.bfill().shift(-1), data=R, forecast=rolling(0), model=Ridge(), prepare=StandardScaler(),
        evaluate=lambda m, X, y: m.fit(X, y), splits=FOLDS, horizon=20, n_placebos=8,
    )
    leaks = set(dirty.table.index[dirty.table["result"] == "leak"])
    assert leaks >= {"features", "forecasts", "labels", "targets", "prepare", "experiment", "fits"} and not dirty.ok
    with pytest.raises(LookAheadError, match="features: A0"):
        dirty.raise_leaks()
    broken = find_leaks(features=lambda r: r.no_such_method(), data=R)
    assert broken.table.loc["features", "result"] == "undecided" and "no_such_method" in broken.table.loc["features", "says"] and not broken.ok
    assert isinstance(broken, LeakReport) and find_leaks().summary()["not asked"] == 9
    own = find_leaks(X, y, experiment=cross_validated(OLS, FOLDS, PICK), splits=FOLDS, n_placebos=8)
    assert own.table.loc["experiment", "result"] == "leak"


def test_disturbed_rows_are_only_those():
    "Other rows stay to the bit, kinds of columns too; a single row changes; seeds decide."
    _, X, y = market(0, 60)
    mixed = X.iloc[:, :2].assign(count=range(59), name=list("ab") * 29 + ["c"], flag=True)
    rows = np.arange(59) >= 40
    for table in (X, y, mixed, mixed["name"], X.to_numpy(), y.to_numpy(), (y > 0).astype(int)):
        a, b = disturb_rows(table, rows, 1), disturb_rows(table, rows, 1)
        assert np.array_equal(np.asarray(a), np.asarray(b)) and np.array_equal(np.asarray(a)[~rows], np.asarray(table)[~rows])
        assert not np.array_equal(np.asarray(a), np.asarray(table))
    assert list(disturb_rows(mixed, rows).dtypes) == list(mixed.dtypes)
    alone = np.arange(59) == 58
    assert (disturb_rows(X, alone).iloc[58] != X.iloc[58]).all()
    follow = disturb_target(X, (y > 0).astype(int), rows, 1)
    assert set(follow) == {0, 1} and follow[~rows].equals((y > 0).astype(int)[~rows])


def test_comparisons():
    "Infinite values, text, missing columns, equal zeros."
    a = pd.DataFrame({"x": [0.0, np.inf, np.nan], "t": ["u", None, "w"]})
    assert compare_rows(a, a.copy(), a.index).size == 0
    assert compare_rows(a, a.assign(x=[0.0, -np.inf, np.nan]), a.index).columns == ["x"]
    assert compare_rows(a, a.assign(t=["u", None, "v"]), a.index).rows == [2]
    assert compare_rows(a, a.assign(new=1), a.index).columns == ["new"]
    zero = pd.DataFrame({"x": [0.0, 0.0]})
    assert compare_rows(zero, zero + 1e-12, zero.index).size == 0 and compare_rows(zero, zero + 1e-3, zero.index).size > 0


R0, X0, Y0 = market(0, 40)
REFUSED = [
    (lambda: check_features(lambda r: r, R0.iloc[:5]), InsufficientDataError, "5 rows"),
    (lambda: check_features(lambda r: r, R0.iloc[::-1]), UnsortedIndexError, "ascend"),
    (lambda: check_features(lambda r: np.ones(3), R0), ShapeError, "features"),
    (lambda: check_features(lambda r: r * np.nan, R0), InsufficientDataError, "nothing"),
    (lambda: check_forecasts(rolling(1), X0, Y0[:-1]), ShapeError, "y: 38 rows"),
    (lambda: check_forecasts(rolling(1), X0, Y0[::-1]), DataError, "labelled"),
    (lambda: read_splits([], X0), DataError, "none"),
    (lambda: read_splits([([0, 1], [])], X0), DataError, "split 0"),
    (lambda: read_splits([([0, 1], [40])], X0), DataError, "split 0"),
    (lambda: read_splits([([0], [1], [2])], X0), ShapeError, "pair"),
    (lambda: overlapping_rows(FOLDS, 0, 30), DataError, "horizon"),
    (lambda: overlapping_rows(FOLDS, 5, 30, embargo=-1), DataError, "embargo"),
    (lambda: check_twins(np.ones((30, 2)), FOLDS), DataError, "no feature varies"),
    (lambda: placebo_test(score_split, X0.to_numpy(), Y0.to_numpy(), n_placebos=3), InsufficientDataError, "n_placebos"),
    (lambda: placebo_test(lambda X, y: np.nan, X0, Y0), DataError, "finite"),
    (lambda: run_twice(lambda x: np.ones((2, 2)), X0, index=X0.index, what="thing"), ShapeError, "thing"),
    (lambda: cut_rows(X0.iloc[-1:], X0.index, n_cuts=2), InsufficientDataError, "nothing"),
    (lambda: check_prepared(StandardScaler(), pd.concat([X0, X0]), pd.concat([Y0, Y0]), FOLDS), DataError, "more than once"),
]


@pytest.mark.parametrize(("ask", "error", "text"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_judged_is_refused(ask, error, text):
    "Wrong input is refused by a typed error that names it, and is not taken for a leak."
    with pytest.raises(error, match=text) as caught:
        ask()
    assert isinstance(caught.value, PortfolioError) and not isinstance(caught.value, LookAheadError)
