"""Constraints: numbers and texts into rows, and clashing ones into words."""

import numpy as np
import pandas as pd
import pytest

from portfolio_ml.core.validation import DataError, InfeasibleError, MissingDataError, PortfolioError, ShapeError
from portfolio_ml.optimize.constraints import (
    Constraints,
    clashing,
    infeasible,
    read_constraint,
    read_constraints,
    read_groups,
    read_linear,
)

FOUR = ["AAPL", "MSFT", "KO", "BRK.B"]
GROUPS = {"AAPL": "tech", "MSFT": "tech", "KO": "food", "BRK.B": "Real estate"}
ROWS = {
    "tech <= 0.3": ([1, 1, 0, 0], -np.inf, 0.3),
    "tech>=30%": ([1, 1, 0, 0], 0.3, np.inf),
    "30 % <= tech <= 0.5": ([1, 1, 0, 0], 0.3, 0.5),
    "0.5 >= tech >= 0.3": ([1, 1, 0, 0], 0.3, 0.5),
    "KO == 2 * BRK.B": ([0, 0, 1, -2], 0, 0),
    "KO == 2 BRK.B": ([0, 0, 1, -2], 0, 0),
    "AAPL - MSFT <= 0.05": ([1, -1, 0, 0], -np.inf, 0.05),
    "-KO >= -(0.1 + 0.2)": ([0, 0, -1, 0], -0.3, np.inf),
    "AAPL <= KO + 5%": ([1, 0, -1, 0], -np.inf, 0.05),
    "0.1 <= AAPL": ([1, 0, 0, 0], 0.1, np.inf),
    "Real estate / 2 + KO <= tech": ([-1, -1, 1, 0.5], -np.inf, 0),
    "1e-2 <= KO": ([0, 0, 1, 0], 0.01, np.inf),
}


@pytest.mark.parametrize("text", ROWS)
def test_texts(text):
    limits = read_constraints(FOUR, groups=GROUPS, constraints=text)
    row, low, high = ROWS[text]
    rows = limits.matrix[1], limits.low[1], limits.high[1]
    if np.isinf(low) != np.isinf(rows[1]):  # the same half space from the other side
        rows = -rows[0], -rows[2], -rows[1]
    np.testing.assert_allclose(rows[0], row)
    np.testing.assert_allclose(rows[1:], (low, high), atol=1e-15)
    assert limits.labels == ("weights sum to 1", text)


@pytest.mark.parametrize("text", [
    "KO", "KO < 0.3", "KO = 0.3", "KO != 0.3", "KO <= tech <= 0.3", "0.1 <= KO >= 0.3", "1 <= KO <= 2 <= 3", "0.1 <= 0.3",
    "KO * AAPL <= 1", "KO ** 2 <= 1", "1 / KO <= 1", "KO / 0 <= 1", "abs(KO) <= 1", "__import__('os') <= 1", "KO[0] <= 1", "", "<=",
    "KO <= 1e999", "GOOG <= 0.3", "lambda: KO <= 1", "KO and AAPL <= 1", "KO == KO", "'KO' <= 1", "True * KO <= 1", "KO <= 1j",
])
def test_what_is_no_constraint_is_refused(text):
    with pytest.raises(DataError, match="constraint"):
        read_constraints(FOUR, groups=GROUPS, constraints=[text])


def test_unknown_name_comes_with_a_hint():
    with pytest.raises(DataError, match="is it tech"):
        read_constraints(FOUR, groups=GROUPS, constraints="tec <= 0.3")


def test_random_texts_say_what_they_mean():
    rng = np.random.default_rng(0)
    words = ("A", "AB", "A B", "B-1", "x.y")
    for _ in range(100):
        c, k = rng.integers(-5, 6, 5), float(rng.integers(0, 9))
        text = " + ".join(f"{a} * {w}" for a, w in zip(c, words)) + f" - {k}"
        row, constant = read_linear(text, words)
        np.testing.assert_allclose([*row, constant], [*c, -k])


@pytest.mark.parametrize("groups", [
    GROUPS, pd.Series(GROUPS), ["tech", "tech", "food", "Real estate"], {k: [v] for k, v in GROUPS.items()},
    {"tech": ["AAPL", "MSFT"], "food": ["KO"], "Real estate": ["BRK.B"]},
])
def test_spellings_of_groups(groups):
    rows = read_groups(groups, pd.Index(FOUR))
    np.testing.assert_array_equal(rows["tech"], [1, 1, 0, 0])
    np.testing.assert_array_equal(rows["Real estate"], [0, 0, 0, 1])


def test_groups_that_clash_or_miss():
    with pytest.raises(DataError, match="names a group and an asset"):
        read_groups({"AAPL": "KO"}, pd.Index(FOUR))
    with pytest.raises(ShapeError, match="one label for each"):
        read_groups(["tech"], pd.Index(FOUR))
    later = read_groups({"AAPL": "tech", "NVDA": "tech"}, pd.Index(FOUR))
    np.testing.assert_array_equal(later["tech"], [1, 0, 0, 0])


def test_assets_without_names_are_x0_x1():
    limits = read_constraints(pd.RangeIndex(3), constraints="x0 + x2 <= 0.4")
    np.testing.assert_array_equal(limits.matrix[1], [1, 0, 1])


def test_bounds():
    limits = read_constraints(FOUR, min_weight={"KO": 0.1}, max_weight={"AAPL": 0.2})
    np.testing.assert_array_equal(limits.lower, [0, 0, 0.1, 0])
    np.testing.assert_array_equal(limits.upper, [0.2, np.inf, np.inf, np.inf])
    free = read_constraints(FOUR, min_weight=None, max_weight=[0.5, 0.5, 0.5, 0.5])
    assert np.isinf(free.lower).all() and (free.upper == 0.5).all()
    with pytest.raises(DataError, match="GOOG"):
        read_constraints(FOUR, max_weight={"GOOG": 0.1})
    with pytest.raises(MissingDataError, match="max_weight"):
        read_constraints(FOUR, max_weight=[0.1, np.nan, 0.1, 0.1])
    with pytest.raises(ShapeError, match="min_weight"):
        read_constraints(FOUR, min_weight=[0.1, 0.1])
    with pytest.raises(InfeasibleError, match=r"KO.*0.3 > 0.2"):
        read_constraints(FOUR, min_weight={"KO": 0.3}, max_weight=0.2)


def test_budgets():
    assert read_constraints(FOUR).is_simplex and read_constraints(FOUR, max_weight=1.0).is_simplex
    for other in ({"budget": 0.5}, {"budget": None}, {"budget": (0.5, 1)}, {"min_weight": None}, {"max_weight": 0.9}, {"constraints": "KO <= 1"}):
        assert not read_constraints(FOUR, **other).is_simplex
    assert read_constraints(FOUR, budget=None).matrix.shape == (0, 4)
    assert read_constraints(FOUR, budget=(0.5, 1)).labels == ("weights sum to between 0.5 and 1",)
    with pytest.raises(InfeasibleError, match="least exceeds"):
        read_constraints(FOUR, budget=(1, 0.5))


def test_violation_and_table():
    limits = read_constraints(FOUR, max_weight=0.4, groups=GROUPS, constraints="tech <= 0.5")
    assert limits.violation(np.full(4, 0.25)) == 0
    np.testing.assert_allclose(limits.violation(np.array([0.5, 0.3, 0.1, 0.1])), 0.3)
    table = limits.to_frame([0.5, 0.3, 0.1, 0.1])
    np.testing.assert_allclose(table.loc["tech <= 0.5", "value"], 0.8)
    more = limits.with_row(np.ones(4), 0.2, 0.3, "more")
    assert isinstance(more, Constraints) and more.labels[-1] == "more" and len(limits.labels) == 2


CLASHES = {
    "rules": ({"constraints": ["tech <= 0.3", "AAPL >= 0.2", "MSFT >= 0.2", "KO <= 0.9"]}, {"tech <= 0.3", "AAPL >= 0.2", "MSFT >= 0.2"}, 0.1),
    "equations": ({"constraints": ["KO == 2 * AAPL", "AAPL == 0.6"]}, None, 4 / 15),
    "budget and bounds": ({"max_weight": 0.2}, {"weights sum to 1", *(f"{x} <= 0.2" for x in FOUR)}, 0.2),
    "budget below zero": ({"budget": -0.5}, {"weights sum to -0.5", *(f"{x} >= 0" for x in FOUR)}, 0.5),
    "absent group": ({"groups": {"AAPL": "tech", "NVDA": "new"}, "constraints": "new >= 0.1"}, {"new >= 0.1"}, 0.1),
}


@pytest.mark.parametrize("case", CLASHES)
def test_clashes_in_words(case):
    how, names, least = CLASHES[case]
    limits = read_constraints(FOUR, **({"groups": GROUPS} | how))
    error = infeasible(limits)
    assert isinstance(error, PortfolioError) and "clash" in str(error) and "smallest change" in str(error)
    if names is not None:
        assert set(error.clash) == names
    np.testing.assert_allclose(sum(x for *_, x in error.relaxation), least, atol=1e-7)


def test_clash_is_irreducible_and_relaxation_heals():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(40):
        rules = [f"{FOUR[rng.integers(4)]} + {FOUR[rng.integers(4)]} {rng.choice(['<=', '>='])} {rng.uniform(0, 1.2):.2f}" for _ in range(5)]
        limits = read_constraints(FOUR, constraints=rules)
        clash, relaxed = clashing(limits)
        if not clash:
            continue
        found += 1
        for out in clash:  # without any one of them, the others can be met
            if out in rules:
                rest = read_constraints(FOUR, min_weight=None, constraints=[r for r in clash if r in rules and r != out])
                assert not clashing(rest)[0] or any(">= 0" in x for x in clash)
        low, high, lower, upper = limits.low.copy(), limits.high.copy(), limits.lower.copy(), limits.upper.copy()
        for label, side, _, by in relaxed:
            if label in limits.labels:
                k = limits.labels.index(label)
                (high if side > 0 else low)[k] += side * (by + 1e-9)
            else:
                k = FOUR.index(label.split()[0])
                (upper if side > 0 else lower)[k] += side * (by + 1e-9)
        assert not clashing(Constraints(limits.names, lower, upper, limits.matrix, low, high, limits.labels))[0]
    assert found > 5


def test_no_clash():
    assert clashing(read_constraints(FOUR)) == ([], [])
    assert "within rounding" in str(infeasible(read_constraints(FOUR)))


def test_constraint_is_read_once():
    words = ("A", "B")
    assert read_constraint("A <= 0.1", words) is read_constraint("A <= 0.1", words)
