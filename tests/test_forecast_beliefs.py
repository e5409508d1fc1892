"""How far a forecast is believed: what was known, what came true, and what is kept of it."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rankdata

from portfolio_ml.core.testing import factor_returns
from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    DuplicateAssetError,
    InsufficientDataError,
    MissingDataError,
    ShapeError,
    UnsortedIndexError,
)
from portfolio_ml.forecast.beliefs import (
    Belief,
    average_ranks,
    belief_so_far,
    believed_return,
    forecast_at,
    measure_belief,
    normal_scores_of,
)

RETURNS = factor_returns(400, 5, random_state=4)
TABLE = pd.DataFrame(np.random.default_rng(1).standard_normal(RETURNS.shape), RETURNS.index, RETURNS.columns)


def test_gaps_are_refused_or_neutral():
    "A gap is refused by name and date, or filled by the median; a row without anything never passes."
    holed, date = TABLE.copy(), RETURNS.index[7]
    holed.loc[date, ["A1", "A3"]] = np.nan
    with pytest.raises(MissingDataError, match=f"{date:%Y-%m-%d}.*A1.*A3"):
        forecast_at(holed, date, RETURNS.columns)
    found = forecast_at(holed, date, RETURNS.columns, missing="neutral")
    assert_allclose(found[[1, 3]], holed.loc[date].median())
    assert np.isnan(holed.loc[date, "A1"])  # the table is as it was
    holed.loc[date] = np.nan
    for table in (holed, TABLE.replace(TABLE.iloc[7, 2], np.inf)):
        with pytest.raises(MissingDataError):
            forecast_at(table, date, RETURNS.columns, missing="neutral")


@pytest.mark.parametrize(("table", "kind"), [
    (TABLE[::-1], UnsortedIndexError), (pd.concat([TABLE, TABLE]).sort_index(), UnsortedIndexError), (TABLE[:0], InsufficientDataError),
    (TABLE.rename(columns={"A1": "A0"}), DuplicateAssetError), (TABLE.drop(columns="A2"), DataError),
])
def test_tables_that_cannot_be_looked_up(table, kind):
    "Order, doubles and absent assets are named."
    with pytest.raises(kind):
        forecast_at(table, RETURNS.index[7], RETURNS.columns)


def test_ranks_agree_with_scipy():
    "One row and many, ties too."
    rows = np.round(TABLE.to_numpy()[:50])
    assert_array_equal(average_ranks(rows), rankdata(rows, axis=1))
    assert_array_equal(np.array([average_ranks(r) for r in rows]), rankdata(rows, axis=1))
    assert_allclose(normal_scores_of(rows)[3], normal_scores_of(rows[3]))


def test_slope_is_a_regression():
    "The slope is that of a regression with a constant for each date; shrinking follows its error."
    s, o = TABLE.to_numpy(), RETURNS.to_numpy() + 0.001 * TABLE.to_numpy()
    belief = measure_belief(s, o)
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (s, o))
    assert_allclose(belief.slope, np.linalg.lstsq(a.reshape(-1, 1), b.ravel(), rcond=None)[0][0])
    assert_allclose(belief.shrunk, belief.slope * (1 - (belief.error / belief.slope) ** 2))
    assert Belief(0.1, 0.2, 9, 99).shrunk == Belief(-3.0, 0.1, 9, 99).shrunk == Belief(0.0, 0.0, 9, 99).shrunk == 0
    holed = s.copy()
    holed[5, 1] = np.nan
    assert measure_belief(holed, o).n_dates == 399


def test_record_in_a_window():
    "Outcomes run from the close of the forecast over the horizon, and only known ones count."
    ahead = pd.DataFrame(np.expm1(np.log1p(RETURNS).rolling(5).sum().shift(-5)), RETURNS.index)
    window = RETURNS.iloc[:300]
    perfect = belief_so_far(ahead, window, horizon=5, ranks=False, missing="neutral")
    assert_allclose(perfect.slope, 1)
    later = ahead.copy()
    later.iloc[295:] = 99.0  # what was said later, or is not known to be right yet, does not count
    assert belief_so_far(later, window, horizon=5, ranks=False).slope == pytest.approx(1)
    assert belief_so_far(TABLE, window).n_dates == 299
    assert belief_so_far(TABLE, window, horizon=20).n_dates == 56
    scaled = belief_so_far(TABLE, window * 0.5)
    assert scaled.slope == pytest.approx(belief_so_far(TABLE, window).slope)


def test_records_that_say_nothing():
    "Too short, all alike, or of an asset that never moves."
    with pytest.raises(InsufficientDataError, match="known outcome"):
        belief_so_far(TABLE.iloc[300:], RETURNS.iloc[:300])
    with pytest.raises(InsufficientDataError, match="too few"):
        belief_so_far(TABLE, RETURNS.iloc[:20])
    with pytest.raises(InsufficientDataError, match="no differences"):
        belief_so_far(0 * TABLE, RETURNS)
    with pytest.raises(ConstantAssetError, match="A3"):
        belief_so_far(TABLE, RETURNS.assign(A3=0.0))
    with pytest.raises(ShapeError):
        measure_belief(TABLE, RETURNS.iloc[:, :2])


def test_beliefs_outside_their_range():
    "Shares, skills and a skill without volatility are refused."
    f = np.arange(4.0)
    for wrong in (dict(share=1.2), dict(skill=2.0, volatility=f), dict(skill=0.1)):
        with pytest.raises(DataError):
            believed_return(f, **wrong)
