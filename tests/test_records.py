"Records: brokers' files with and without faults, Form 8949 there and back, totals to the cent."

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_ml.core.validation import DataError
from portfolio_ml.tax.lots import TaxLots
from portfolio_ml.tax.records import (
    FORM_COLUMNS,
    TradeFileError,
    form_8949,
    lots_from_trades,
    read_form_8949,
    read_number,
    read_trades,
    realized_from_form,
    schedule_d,
    whole_cents,
    write_form_8949,
)

HEAD = "date,symbol,action,quantity,price,fees\n"


def trades_of(text, **how):
    "Read a file from text."
    return read_trades(io.StringIO(text), **how)


def lines_of(error):
    "List the lines that an error names."
    return [line for line, _ in error.value.problems]


@pytest.mark.parametrize(
    "row, words",
    [
        ("2024-13-01,A,buy,1,1,0", "does not read as"), ("01/02/2024,A,buy,1,1,0", "date_format"), (",A,buy,1,1,0", "there is no date"),
        ("2024-01-02,A,hold,1,1,0", "'hold' is not known"), ("2024-01-02,A,buy,-1,1,0", "must be more than zero"),
        ("2024-01-02,A,buy,0,1,0", "must be more than zero"), ("2024-01-02,A,buy,1,-1,0", "must be zero or more"),
        ("2024-01-02,A,buy,one,1,0", "not a number"), ("2024-01-02,A,buy,1,,0", "there is no price"), ("2024-01-02,,buy,1,1,0", "no symbol"),
        ("2024-01-02,A,buy,1,1", "5 fields where the header has 6; is the file cut off here"), ("2024-01-02,A,buy,1,1,(2)", "fees"),
        ("2024-01-02,A,buy,inf,1,0", "not a number"),
    ],
)
def test_each_fault_is_named_by_its_line(row, words):
    "The line, and what is wrong there."
    with pytest.raises(TradeFileError, match=words) as error:
        trades_of(HEAD + "2024-01-01,A,buy,1,1,0\n\n" + row + "\n")
    assert set(lines_of(error)) == {4}


def test_all_faults_at_once_and_no_more_than_twenty_printed():
    "A file of nothing but faults; missing columns; an empty file."
    with pytest.raises(TradeFileError, match="and 30 more") as error:
        trades_of(HEAD + "2024-01-02,A,hold,1,1,0\n" * 50)
    assert lines_of(error) == list(range(2, 52))
    for text, words in (("", "empty"), ("date,symbol,quantity\n", "'action'"), (HEAD[:-1] + ",qty\n", "two columns")):
        with pytest.raises(TradeFileError, match=words):
            trades_of(text)


def test_usual_spellings():
    "Signs of money, thousands, other names of columns, a byte-order mark, a path."
    text = '\ufeffRun Date,Ticker,Type,Shares,Unit Price,Commission,Note\n01/02/2024,A,You Bought,"1,000","$2.50",$1.00,x\n'
    table = trades_of(text, date_format="%m/%d/%Y")
    assert table.loc[2, ["symbol", "action", "quantity", "price", "fees"]].tolist() == ["A", "buy", 1000, 2.5, 1]
    assert table.loc[2, "date"] == pd.Timestamp("2024-01-02") and read_number("($1,200.00)", "x") == -1200


def test_a_file_on_disk_gives_its_name(tmp_path):
    "In the message, without its folder."
    (tmp_path / "broker.csv").write_text(HEAD + "x,A,buy,1,1,0\n")
    with pytest.raises(TradeFileError, match="^broker.csv: 1 fault\n"):
        read_trades(tmp_path / "broker.csv")


def test_another_encoding_is_named_by_its_line(tmp_path):
    "Trades and forms; a byte-order mark is no fault."
    path = tmp_path / "old.csv"
    path.write_bytes((HEAD + "2024-01-02,A,buy,1,1,0\n2024-01-03,M\u00dcV,buy,1,1,0\n").encode("latin-1"))
    for read in (read_trades, read_form_8949):
        with pytest.raises(TradeFileError, match="^old.csv: 1 fault\n  line 3: this is not UTF-8"):
            read(path)
    path.write_text(HEAD + "2024-01-02,A,buy,1,1,0\n", encoding="utf-8-sig")
    assert read_trades(path)["symbol"].tolist() == ["A"]


def test_every_action_and_a_sale_of_too_much():
    "Dividends, splits, reinvestment, returned capital; refusals by line, the rest goes on."
    text = HEAD + (
        "2024-01-02,A,buy,10,10,0\n2024-03-01,A,split,2,,\n2024-03-05,A,dividend,,0.5,\n2024-03-05,A,reinvest,1,10,\n"
        "2024-04-01,A,roc,,1,\n2024-05-01,A,sell,5,12,1\n"
    )
    book = lots_from_trades(trades_of(text))
    assert book.income()["amount"].tolist() == [10] and book.realized()["gain"].tolist() == [5 * 12 - 1 - 5 * 4]
    with pytest.raises(TradeFileError) as error:
        lots_from_trades(trades_of(text + "2024-05-02,A,sell,99,12,0\n2024-05-03,B,sell,1,1,0\n2024-05-04,A,sell,1,1,0\n"))
    assert lines_of(error) == [8, 9]


def random_book(seed):
    "A ledger with thirds of cents, short and long terms, and washes."
    rng, book, held = np.random.default_rng(seed), TaxLots(method="hifo"), 0.0
    for day in np.arange("2022-01-03", "2024-06-01", 9, dtype="M8[D]"):
        price = float(rng.uniform(5, 15))
        if held > 3 and rng.random() < 0.5:
            book.sell(day, "A b", held / 3, price)
            held -= held / 3
        else:
            book.buy(day, "A b", 10 / 3, price)
            held += 10 / 3
    return book


@pytest.mark.parametrize("year", [None, 2023])
def test_the_form_comes_back_the_same(tmp_path, year):
    "Bit by bit; and its rows add up."
    for seed in range(2):
        book = random_book(seed)
        form = form_8949(book, year)
        again = read_form_8949(write_form_8949(form, tmp_path / "form.csv"))
        pd.testing.assert_frame_equal(again, form, check_exact=True, check_dtype=False)
        assert list(form.columns) == FORM_COLUMNS and (form["code"].eq("W") == form["adjustment"].gt(0)).all()
        sold = book.realized()
        sold = sold if year is None else sold[sold["sold"].dt.year == year]
        back = realized_from_form(again)
        assert sorted(back["quantity"]) == sorted(sold["quantity"]) and set(back["symbol"]) == {"A b"}
        for term in ("short", "long"):
            ours, exact = back[back["term"] == term], sold[sold["term"] == term]
            for column in ("proceeds", "basis", "disallowed"):
                assert abs(ours[column].sum() - exact[column].sum()) <= 0.005 + 1e-7
        pd.testing.assert_frame_equal(form_8949(back), form, check_exact=True, check_dtype=False)
        total = schedule_d(form)
        np.testing.assert_allclose(total.loc["total"], total.loc[["short-term", "long-term"]].sum(), atol=1e-9)


ODD = ["A,B", 'Q"uote"', "BRK B", " lead", "trail ", "12 sh. X", "NA", "nan", "None", "0", "=1+2", "'x", "a;b", "ÄÖ–€", "日本", "\ufeffX", "\x00", "\\n"]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ODD) | st.text(min_size=1, max_size=6), st.lists(st.tuples(st.floats(1e-6, 1e7), st.floats(1e-4, 5e3), st.integers(0, 40)), min_size=2, max_size=12))
def test_any_symbol_and_any_size_come_back(tmp_path_factory, symbol, trades):
    "Symbols that a spreadsheet would maul, millionths of shares, wash sales; a name of several lines is refused."
    book, day = TaxLots(method="hifo"), np.datetime64("2022-01-03")
    if not symbol.strip() or symbol.splitlines() != [symbol]:
        with pytest.raises(DataError, match="not a name"):
            book.buy(day, symbol, 1, 1.0)
        return
    for quantity, price, wait in trades:
        day += wait
        book.buy(day, symbol, quantity, price)
        book.sell(day, symbol, quantity / 3, price * 0.9)
    form = form_8949(book)
    again = read_form_8949(write_form_8949(form, tmp_path_factory.mktemp("form") / "form.csv"))
    pd.testing.assert_frame_equal(again, form, check_exact=True, check_dtype=False)
    back = realized_from_form(again)
    assert set(back["symbol"]) == {symbol} and sorted(back["quantity"]) == sorted(book.realized()["quantity"])
    pd.testing.assert_frame_equal(form_8949(back), form, check_exact=True, check_dtype=False)


def test_the_form_says_that_it_is_no_advice():
    assert all("not tax advice" in what.__doc__ for what in (form_8949, write_form_8949, TaxLots))


def test_a_form_that_does_not_add_up_is_refused(tmp_path):
    "By line; and columns by name."
    path = write_form_8949(form_8949(random_book(1)), tmp_path / "form.csv")
    lines = path.read_text().splitlines()
    lines[1], lines[2] = lines[1].replace(",", ",9", 5).replace("9", "1", 1), lines[2].rsplit(",", 1)[0]
    path.write_text("\n".join(lines))
    with pytest.raises(TradeFileError) as error:
        read_form_8949(path)
    assert set(lines_of(error)) == {2, 3}
    path.write_text("a,b\n")
    with pytest.raises(TradeFileError, match="columns must be"):
        read_form_8949(path)


def test_an_empty_ledger_has_an_empty_form(tmp_path):
    "No sale, no row."
    form = form_8949(TaxLots())
    again = read_form_8949(write_form_8949(form, tmp_path / "form.csv"))
    assert len(again) == 0 and (schedule_d(again).to_numpy() == 0).all()


def test_cents_stay_cents():
    "What is exact stays; running totals are within half a cent."
    rng = np.random.default_rng(0)
    exact = rng.integers(-100_000, 100_000, 1000)
    assert (whole_cents(exact / 100) == exact).all()
    parts = rng.uniform(-5, 5, 1000)
    assert np.abs(np.cumsum(whole_cents(parts)) / 100 - np.cumsum(parts)).max() <= 0.005 + 1e-8
