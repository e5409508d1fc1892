"""The bundled data are what their cards say, the script that builds them writes whole files or none, and bad panels are refused by name."""

import gzip
import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from portfolio_ml.core.validation import (
    ConstantAssetError,
    DataError,
    DataIntegrityError,
    DuplicateAssetError,
    DuplicateDateError,
    InsufficientDataError,
    MissingDataError,
    NonFiniteError,
    UnknownDatasetError,
    UnsortedIndexError,
)  # fmt: skip
from portfolio_ml.data import catalog, cleaning
from portfolio_ml.data.catalog import dataset_card, known_flaws, list_datasets, load_dataset, load_prices, load_returns

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import build_data  # noqa: E402

CARDS = json.loads((ROOT / "data" / "catalog.json").read_text(encoding="utf-8"))["datasets"]
NAMES = [c["name"] for c in CARDS]
DAILY = [c["name"] for c in CARDS if c["frequency"] == "daily" and c["kind"] in ("price", "return")]
WANTED = ["us20", "sp500_index", "factor_etfs", "sp500_2021_2026", "sp500_sectors", "sp500_membership", "spreads74", "spreads74_spreads", "impact100", "impact100_volumes", "french_monthly", "ff3_monthly", "vix", "credit", "core_cpi", "wti", "etf_ohlcv", "rates", "macro_quarterly", "etf23", "ohlcv5", "olps_nyse_o", "olps_nyse_n", "olps_djia", "olps_sp500", "olps_tse", "olps_msci", "nyse_volume", "funds2000", "multi_asset"]


# ------------------------------------------------------------------------------------------------ the files and their cards
def test_every_set_asked_for_is_there_and_small():
    assert set(WANTED) <= set(NAMES) and len(set(NAMES)) == len(NAMES)
    files = {p.name for p in (ROOT / "data").iterdir() if not p.name.startswith(".")}
    assert files - {"__pycache__"} == {f"{n}.csv.gz" for n in NAMES} | {"catalog.json", "README.md"}
    assert sum(c["bytes"] for c in CARDS) < 10e6


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_what_its_card_says(name):
    card, packed = dataset_card(name), (ROOT / "data" / f"{name}.csv.gz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == card.sha256 and len(packed) == card.bytes
    assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == card.csv_sha256
    assert packed[3:8] == bytes(5), "no file name and no time in the gzip header"
    frame = load_dataset(name)
    assert list(frame.shape) == card.shape and list(map(str, frame.columns)) == card.columns
    assert int(frame.isna().sum().sum()) == card.missing and list(frame.index.names) == card.index
    if card.span:
        rows = frame.index.get_level_values(card.index[-1])
        ends = [f"{x:%Y-%m-%d}" for x in (rows.min(), rows.max())] if card.index[-1] == "date" else [rows.min(), rows.max()]
        assert ends == card.span
    assert frame.columns.is_unique and (card.kind == "table" or (frame.index.is_unique and frame.index.is_monotonic_increasing))
    assert all(getattr(card, field) for field in ("title", "kind", "frequency", "unit", "bias", "licence", "transformation", "sources"))
    assert card.kind not in ("price", "return", "relative") or card.basis
    assert all(a in card.columns for flaw in card.flaws for a in flaw["assets"]) or "symbol" in card.index


@pytest.mark.parametrize("name", NAMES)
def test_values_were_written_shortest_and_read_exactly(name):
    text = gzip.decompress((ROOT / "data" / f"{name}.csv.gz").read_bytes()).decode()
    head, *lines = text.splitlines()
    assert "\r" not in text and len(lines) == dataset_card(name).shape[0] and head.split(",")[0] == dataset_card(name).index[0]
    if dataset_card(name).kind != "table":
        row = lines[len(lines) // 2].split(",")[len(dataset_card(name).index) :]
        numbers = [x for x in row if x and not x.isalpha()]
        assert all(build_data.text(float(x)) == x for x in numbers)
        values = load_dataset(name).iloc[len(lines) // 2]
        assert [float(v) for v in values if not isinstance(v, str) and v == v] == [float(x) for x in numbers]


@pytest.mark.parametrize("name", DAILY)
def test_the_rules_of_the_house(name):
    returns = load_returns(name)
    live = returns.drop(columns="cash", errors="ignore")
    assert not cleaning.stale_cells(live.loc["2002":], 10).to_numpy().any()
    moves = live.stack()
    moves = {(f"{day:%Y-%m-%d}", asset) for day, asset in moves.index[moves.abs() > 0.5]}
    assert moves == {(m["date"], m["asset"]) for m in dataset_card(name).large_moves}
    assert all(len(m["why"]) > 10 for m in dataset_card(name).large_moves)
    assert not np.isinf(returns.to_numpy()).any() and (returns.dropna(how="all").to_numpy() != 0).any()


def test_the_two_catalogues_are_in_step():
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert readme == build_data.to_readme(CARDS)
    assert all(c["sha256"] in readme and s["artefact_sha256"] in readme for c in CARDS for s in c["sources"])
    pins = {a.package: (a.version, a.sha256) for a in build_data.ARTEFACTS.values()}
    assert all(pins[s["package"]] == (s["version"], s["artefact_sha256"]) for c in CARDS for s in c["sources"])
    assert set(pins) == {s["package"] for c in CARDS for s in c["sources"]}, "every pinned package is used"
    for spec, card in zip(build_data.SPECS, CARDS, strict=True):
        assert (spec.name, spec.title, spec.unit, spec.bias, list(spec.flaws)) == (card["name"], card["title"], card["unit"], card["bias"], card["flaws"])


def test_the_machine_readable_catalogue_is_written_the_same_way_again():
    text = (ROOT / "data" / "catalog.json").read_text(encoding="utf-8")
    assert build_data.to_json(json.loads(text)) == text


# ------------------------------------------------------------------------------------------------ what is known about them
def test_online_portfolio_selection_loses_no_period():
    known = {"nyse_o": (14.50, 54.14), "nyse_n": (18.06, 83.51), "tse": (1.61, 6.28), "sp500": (1.34, 3.78), "msci": (0.91, 1.50), "djia": (0.76, 1.19)}
    for name, wealth in known.items():
        final = load_dataset(f"olps_{name}").prod()
        np.testing.assert_allclose([final.mean(), final.max()], wealth, rtol=7e-3)
        np.testing.assert_allclose((1 + load_returns(f"olps_{name}")).prod(), final, rtol=1e-12)


def test_known_spans_shapes_and_units():
    assert load_prices().shape == (8313, 20) and load_returns().shape == (8312, 20)
    assert load_prices("spreads74").shape == load_dataset("spreads74_spreads").shape == (5970, 74)
    assert load_returns("sp500_2021_2026").shape == (1213, 493) and "SW" not in load_returns("sp500_2021_2026")
    assert load_dataset("sp500_sectors")["sector"].nunique() == 11 and load_dataset("sp500_membership").shape == (889, 3)
    assert 0.8 < load_dataset("spreads74_spreads").median().median() < 10, "basis points"
    ff3 = load_returns("ff3_monthly")
    assert ff3["MktRF"].abs().max() < 0.4 and f"{ff3.index[0]:%Y-%m-%d}" == "1926-07-31", "decimals"
    assert (load_returns("french_monthly")["RF"] - ff3["RF"]).abs().max() < 1e-9, "two sources, one rate"
    assert load_returns("funds2000").shape == (50, 2000)
    np.testing.assert_allclose(load_returns("funds2000").iloc[:, 0].agg(["mean", "std"]), [0.030, 0.074], atol=5e-4)
    assert f"{load_dataset('vix').index[-1]:%Y}" == "2024" and load_dataset("vix").notna().all().all()


def test_multi_asset_is_the_documented_transformation():
    panel, rates = load_returns("multi_asset"), load_dataset("rates")
    days = panel.index.insert(0, pd.Timestamp("2000-01-03"))
    for column, source, years in (("bonds", "treasury_10y", 10), ("notes", "treasury_2y", 2)):
        yields = (rates[source].dropna() / 100).reindex(days, method="ffill")
        np.testing.assert_allclose(panel[column], catalog.par_bond_returns(yields, years)[1:], atol=6e-9)
    np.testing.assert_allclose(panel["cash"], catalog.cash_returns(rates["fed_funds"] / 100, days)[1:], atol=6e-9)
    np.testing.assert_allclose(panel["stocks"].dropna(), load_returns("sp500_index").loc["2000-01-04":, "SP500"], atol=6e-9)
    etf = load_returns("etf_ohlcv")
    np.testing.assert_allclose(panel[["nasdaq", "gold"]].dropna(), etf[["QQQ", "GLD"]], atol=6e-9)


def test_two_sources_agree_where_they_overlap():
    for one, two, floor in (("us20", "sp500_2021_2026", 0.9999), ("us20", "impact100", 0.998), ("us20", "ohlcv5", 0.999)):
        a, b = load_returns(one), load_returns(two)
        rows, columns = a.index.intersection(b.index), a.columns.intersection(b.columns)
        assert len(rows) > 300 and a.loc[rows, columns].corrwith(b.loc[rows, columns]).min() > floor


# ------------------------------------------------------------------------------------------------ loading
def test_list_datasets():
    table = list_datasets()
    assert table.index.tolist() == NAMES and table.columns.tolist() == ["what", "kind", "frequency", "span", "shape", "unit", "licence"]
    assert set(list_datasets("relative").index) == {n for n in NAMES if n.startswith("olps_")} and "<table" in table._repr_html_()


def test_cards_are_frozen_and_readable():
    card = dataset_card("us20")
    with pytest.raises(FrozenInstanceError):
        card.name = "other"
    assert "RRC" in card.summary() and card.sha256 in card._repr_html_() and json.dumps(card.to_dict()) and hash(card.name)
    flaws = known_flaws("us20")
    assert ((flaws["assets"].str[0] == "RRC") & (flaws["last"] == "1992-12-31")).any()


def test_loads_are_copies_and_carry_their_card():
    first = load_prices("us20")
    first.iloc[:] = 0.0
    first.attrs["flaws"].clear()
    second = load_prices("us20")
    assert (second > 0).all().all() and len(second.attrs["flaws"]) == 3
    for frame, kind in ((second, "price"), (load_returns("us20", assets="KO"), "return"), (load_prices("ohlcv5"), "price"), (load_returns("olps_tse"), "return")):
        attrs = json.loads(json.dumps(frame.attrs))
        assert attrs == frame.attrs and attrs["kind"] == kind and {"name", "sources", "sha256", "licence", "unit", "flaws", "bias"} <= set(attrs)


def test_sub_panels():
    part = load_prices(start="2000-01-01", end="2000-12-31", assets=["XOM", "AAPL"])
    assert part.columns.tolist() == ["XOM", "AAPL"] and f"{part.index[0]:%Y-%m-%d}" == "2000-01-03" and len(part) == 252
    whole, late = load_returns(), load_returns(start="2020-01-02")
    pd.testing.assert_frame_equal(whole.loc["2020-01-02":], late)
    assert load_returns(assets="KO").shape == (8312, 1) and load_returns("olps_djia", start=5, end=9).index.tolist() == [5, 6, 7, 8, 9]
    assert load_prices("ohlcv5").loc["2000-03-01"].isna().sum() == 2, "an asset that was not listed yet is missing, not filled"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: load_prices("us2"), UnknownDatasetError, "did you mean us20"),
        (lambda: load_dataset("zzzz"), UnknownDatasetError, "list_datasets"),
        (lambda: dataset_card(None), UnknownDatasetError, "None"),
        (lambda: load_prices("french_monthly"), catalog.WrongKindError, "load_returns('french_monthly')"),
        (lambda: load_prices("olps_tse"), catalog.WrongKindError, "load_returns"),
        (lambda: load_returns("vix"), catalog.WrongKindError, "load_dataset('vix')"),
        (lambda: load_prices(assets=["AAPL", "MSTF"]), catalog.UnknownAssetError, "MSTF; did you mean MSFT"),
        (lambda: load_returns(assets="ZZZZZZ"), catalog.UnknownAssetError, "it holds AAPL"),
        (lambda: load_prices(assets=["KO", "KO"]), DuplicateAssetError, "KO more than once"),
        (lambda: load_prices(start="2023-01-01"), InsufficientDataError, "spans 1990-01-02 to 2022-12-28"),
        (lambda: load_prices(start="tomorrow-ish"), DataError, "cannot cut"),
    ],
)
def test_wrong_requests_are_refused_by_name(call, error, words):
    with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")) as caught:
        call()
    assert not str(caught.value).startswith("'"), "no quotes around the message of a KeyError"


def copy_of_data(folder, monkeypatch):
    "Point the catalogue at a copy of a few files."
    for file in ("catalog.json", "vix.csv.gz", "wti.csv.gz"):
        (folder / file).write_bytes((ROOT / "data" / file).read_bytes())
    monkeypatch.setattr(catalog, "data_folder", lambda: folder)
    catalog._parsed.cache_clear()
    catalog.read_catalogue.cache_clear()


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    copy_of_data(tmp_path, monkeypatch)
    yield tmp_path
    catalog._parsed.cache_clear()
    catalog.read_catalogue.cache_clear()


def test_damaged_files_are_refused_by_name(own_data):
    vix = own_data / "vix.csv.gz"
    whole = vix.read_bytes()
    assert len(load_dataset("vix")) == 2766
    for data in (whole[:-100], b"", whole[:500] + b"x" + whole[501:], gzip.compress(gzip.decompress(whole) + b"2025-01-02,1\n", 9, mtime=0)):
        vix.write_bytes(data)
        catalog._parsed.cache_clear()
        with pytest.raises(DataIntegrityError, match="vix.csv.gz is truncated or altered"):
            load_dataset("vix")
    vix.unlink()
    with pytest.raises(DataIntegrityError, match="vix.csv.gz is missing"):
        load_dataset("vix")
    assert len(load_dataset("wti")) == 8321, "the other sets still load"


def test_a_damaged_catalogue_is_refused(own_data):
    file = own_data / "catalog.json"
    file.write_text(file.read_text(encoding="utf-8")[:-200], encoding="utf-8")
    with pytest.raises(DataIntegrityError, match="catalog.json cannot be read"):
        list_datasets()


def test_a_missing_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog.importlib.resources, "files", lambda package: tmp_path / "portfolio_ml")
    with pytest.raises(DataIntegrityError, match="missing from this installation"):
        catalog.data_folder()
    bundled = tmp_path / "portfolio_ml" / "_bundled"
    bundled.mkdir(parents=True)
    (bundled / "catalog.json").write_text("{}")
    assert catalog.data_folder() == bundled, "an installed wheel carries the files inside the package"


# ------------------------------------------------------------------------------------------------ the script
TOY = build_data.Artefact("toy-data", "1.0", "wheel", "")


@pytest.fixture
def toy(tmp_path, monkeypatch):
    "A pinned artefact in a cache, one set made of it, and a folder that holds the files of yesterday."
    cache, out = tmp_path / "cache", tmp_path / "out"
    cache.mkdir(), out.mkdir()
    wheel = cache / "toy_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as z:
        z.writestr("toy/prices.csv", "Date,A,B\n2020-01-01,1.0,2.0\n2020-01-02,1.10,2.25\n2020-01-03,1.1,\n")
    monkeypatch.setitem(build_data.ARTEFACTS, "toy-data", replace(TOY, sha256=hashlib.sha256(wheel.read_bytes()).hexdigest()))
    spec = build_data.Spec(
        name="toy", title="Toy", kind="price", frequency="daily", unit="coins", basis="total return", bias="none", licence="none", sources=(("toy-data", "toy/prices.csv"),),
        build=lambda a: a.dated("toy-data", "toy/prices.csv"), transformation="none",
    )  # fmt: skip
    monkeypatch.setattr(build_data, "SPECS", [spec])
    for file in ("toy.csv.gz", "catalog.json", "README.md"):
        (out / file).write_bytes(b"yesterday")
    return cache, out, wheel


def contents(folder):
    "All that lies in a folder."
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_script_writes_the_same_bytes_twice(toy, capsys):
    cache, out, _ = toy
    call = ["--cache", str(cache), "--out", str(out)]
    assert build_data.main([*call, "--check"]) == 1 and set(contents(out).values()) == {b"yesterday"}, "--check writes nothing"
    assert build_data.main(call) == 0
    first = contents(out)
    assert gzip.decompress(first["toy.csv.gz"]) == b"date,A,B\n2020-01-01,1,2\n2020-01-02,1.1,2.25\n2020-01-03,1.1,\n"
    card = json.loads(first["catalog.json"])["datasets"][0]
    assert card["span"] == ["2020-01-01", "2020-01-03"] and card["missing"] == 1 and card["sha256"] == hashlib.sha256(first["toy.csv.gz"]).hexdigest()
    assert build_data.main(call) == 0 and contents(out) == first and build_data.main([*call, "--check"]) == 0
    assert "all identical" in capsys.readouterr().out


def test_a_wrong_hash_is_refused_and_nothing_is_written(toy):
    cache, out, wheel = toy
    wheel.write_bytes(wheel.read_bytes() + b"!")
    with pytest.raises(build_data.BuildError, match="toy-data 1.0: .* has sha256 .* is pinned.*Nothing was written"):
        build_data.main(["--cache", str(cache), "--out", str(out)])
    assert set(contents(out).values()) == {b"yesterday"}


def test_pip_is_asked_to_check_the_hash_too(toy, monkeypatch):
    cache, out, wheel = toy
    wheel.unlink()
    calls = []

    def pip(command, **kwargs):
        requirements = Path(next(x for x in command if x.startswith("--requirement=")).partition("=")[2]).read_text()
        calls.append((command, requirements))
        return subprocess.CompletedProcess(command, 1, "", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES")

    monkeypatch.setattr(build_data.subprocess, "run", pip)
    with pytest.raises(build_data.BuildError, match="(?s)toy-data 1.0 could not be downloaded.*DO NOT MATCH"):
        build_data.main(["--cache", str(cache), "--out", str(out)])
    [(command, requirements)] = calls
    assert {"download", "--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(command)
    assert requirements == f"toy-data==1.0 --hash=sha256:{build_data.ARTEFACTS['toy-data'].sha256}\n"
    assert contents(cache) == {} and set(contents(out).values()) == {b"yesterday"}
    sdist, compiled = (build_data.pip_command(replace(TOY, kind=k), Path("r"), Path("t")) for k in ("sdist", "compiled"))
    assert "--no-binary=:all:" in sdist and "--python-version=3.11" in compiled


@pytest.mark.parametrize("when", ["fsync", "replace"])
def test_a_failure_half_way_leaves_whole_files(toy, monkeypatch, when):
    cache, out, _ = toy
    real, calls = getattr(build_data.os, when), []

    def fail(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(build_data.os, when, fail)
    with pytest.raises(KeyboardInterrupt):
        build_data.main(["--cache", str(cache), "--out", str(out)])
    monkeypatch.undo()
    left = contents(out)
    assert set(left) == {"toy.csv.gz", "README.md", "catalog.json"} and left["catalog.json"] == b"yesterday", "the catalogue comes last; no scratch is left"
    assert left["toy.csv.gz"] == b"yesterday" or gzip.decompress(left["toy.csv.gz"]).endswith(b"2020-01-03,1.1,\n")
    if when == "fsync":
        assert set(left.values()) == {b"yesterday"}


def test_a_kill_half_way_leaves_whole_files(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_bytes(b"yesterday")
    code = f"import os, sys; sys.path.insert(0, {str(ROOT / 'tools')!r}); import build_data; from pathlib import Path; build_data.os.fsync = lambda fd: os.kill(os.getpid(), 9); build_data.write_all({{'a': b'today'}}, Path({str(out)!r}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert (out / "a").read_bytes() == b"yesterday"
    build_data.write_all({"a": b"today"}, out)
    assert contents(out) == {"a": b"today"} and [p.name for p in out.iterdir()] == ["a"], "what the kill left is swept away"


def test_a_pickle_may_hold_a_table_and_nothing_else():
    import pickle

    with pytest.raises(build_data.BuildError, match="posix.system|nt.system|os.system"):
        build_data.PandasOnly(__import__("io").BytesIO(b"cposix\nsystem\n(S'true'\ntR.")).load()
    with pytest.raises(build_data.BuildError, match="refused"):
        build_data.PandasOnly(__import__("io").BytesIO(pickle.dumps(Path("x")))).load()


def test_the_script_refuses_sets_that_break_the_rules():
    spec = next(s for s in build_data.SPECS if s.name == "sp500_index")
    days = pd.bdate_range("2010-01-01", periods=40)
    good = pd.DataFrame({"SP500": 100 * 1.01 ** np.arange(40)}, index=days)
    build_data.check_rules(good, spec)
    stale, jump = good.copy(), good.copy()
    stale.iloc[5:20] = 105.0
    jump.iloc[30:] *= 2
    for bad, words in ((stale, "zero returns"), (jump, "listed and explained"), (pd.concat([good, good.iloc[[3]]]), "out of order or twice"), (good.mask(good > 140, np.inf), "infinite")):
        with pytest.raises(build_data.BuildError, match=words):
            build_data.check_rules(bad, spec)


def test_numbers_are_written_short():
    assert [build_data.text(x) for x in (1.0, -0.0, 0.1, 1e-7, float("nan"), 12345.678, 3)] == ["1", "0", "0.1", "1e-07", "", "12345.678", "3"]
    assert build_data.as_float32(pd.DataFrame({"a": [49.27333450317383, 35.38999938964844]}))["a"].tolist() == [49.273335, 35.39]


# ------------------------------------------------------------------------------------------------ cleaning
@pytest.fixture(scope="module")
def panel():
    rng = np.random.default_rng(1)
    return pd.DataFrame(0.01 * rng.standard_normal((300, 4)), pd.bdate_range("2020-01-01", periods=300), list("ABCD"))


def test_a_clean_panel_comes_back_unchanged(panel):
    for outliers in cleaning.POLICIES["outliers"]:
        for missing in cleaning.POLICIES["missing"]:
            cleaned, report = cleaning.clean_returns(panel, outliers=outliers, missing=missing, stale="raise", duplicates="raise", unsorted="raise")
            assert report.clean and "nothing found" in report.summary()
            pd.testing.assert_frame_equal(cleaned, panel)
    assert cleaning.check_quality(panel, max_stale=1, z=15) is panel and cleaning.quality_report(panel).clean


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda x: x.mask(x == x.iloc[7, 1]), MissingDataError, "in B.*2020-01-10"),
        (lambda x: x.mask(x == x.iloc[7, 1], np.inf), NonFiniteError, "in B.*2020-01-10"),
        (lambda x: x.assign(E=0.0), ConstantAssetError, "E never change"),
        (lambda x: x.assign(E=x["C"]), DuplicateAssetError, "E repeats C"),
        (lambda x: x.set_axis(list("ABCC"), axis=1), DuplicateAssetError, "C stands more than once"),
        (lambda x: pd.concat([x, x.iloc[[-1]]]), DuplicateDateError, "2021-02-23"),
        (lambda x: x.iloc[::-1], UnsortedIndexError, "2021-02-22"),
    ],
)
def test_each_defect_has_its_error(panel, spoil, error, words):
    with pytest.raises(error, match=words):
        cleaning.check_quality(spoil(panel))


def test_stale_runs_and_outliers_have_their_errors(panel):
    stale = panel.copy()
    stale.iloc[100:115, 2] = 0.0
    with pytest.raises(cleaning.StaleDataError, match="15 value.*in C, the first on 2020-05-20"):
        cleaning.check_quality(stale, max_stale=10)
    cleaning.check_quality(stale, max_stale=15)
    with pytest.raises(cleaning.OutlierError, match="1 value.*in A"):
        cleaning.check_quality(panel.mask(panel == panel.iloc[3, 0], 0.9), z=15)


def test_stale_policies(panel):
    stale = panel.copy()
    stale.iloc[100:115, 2] = 0.0
    masked, report = cleaning.clean_returns(stale)
    assert masked["C"].isna().sum() == 15 and masked.drop(columns="C").equals(stale.drop(columns="C"))
    assert report.to_frame().iloc[0].tolist() == ["stale value", "C", 15, panel.index[100], panel.index[114], "masked"]
    filled, _ = cleaning.clean_returns(stale, missing="fill")
    assert filled["C"].isna().sum() == 15, "filling does not undo masking"
    assert len(cleaning.clean_returns(stale, stale="drop")[0]) == len(cleaning.clean_returns(stale, missing="drop")[0]) == 285
    assert cleaning.clean_returns(stale, stale="keep")[0].equals(stale)
    assert cleaning.clean_returns(stale, max_stale=15)[1].clean
    with pytest.raises(cleaning.StaleDataError):
        cleaning.clean_returns(stale, stale="raise")


def test_missing_policies_and_unequal_histories(panel):
    holes = panel.copy()
    holes.iloc[:50, 0] = holes.iloc[250:, 1] = holes.iloc[100:103, 2] = np.nan
    masked, report = cleaning.clean_returns(holes)
    assert masked.equals(holes) and set(zip(report.issues["issue"], report.issues["asset"])) == {("gap", "C"), ("no history", "A"), ("no history", "B")}
    filled, _ = cleaning.clean_returns(holes, missing="fill")
    assert (filled.iloc[100:103, 2] == 0).all() and filled.isna().sum().tolist() == [50, 50, 0, 0], "life before birth is not filled"
    assert len(cleaning.clean_returns(holes, missing="drop")[0]) == 300 - 50 - 50 - 3
    with pytest.raises(MissingDataError, match="in A, B and C"):
        cleaning.clean_returns(holes, missing="raise")
    table = cleaning.histories(holes)
    assert table["gaps"].tolist() == [0, 0, 3, 0] and table.loc["A", "first"] == panel.index[50] and table.loc["B", "last"] == panel.index[249]
    holes.iloc[:, 3] = np.nan
    assert pd.isna(cleaning.histories(holes).loc["D", "first"])
    with pytest.raises(InsufficientDataError, match="D 0"):
        cleaning.common_sample(holes)


def test_dates_twice_and_out_of_order(panel):
    again = pd.concat([panel, panel.iloc[[5]].assign(B=9.0), panel.iloc[[9]]])
    dropped, report = cleaning.clean_returns(again)
    pd.testing.assert_frame_equal(dropped, panel, check_freq=False)
    assert report.issues.query("issue == 'duplicate date'")["count"].item() == 2 and "first row kept" in report.summary()
    masked, _ = cleaning.clean_returns(again, duplicates="mask")
    assert np.isnan(masked.iloc[5, 1]) and masked.isna().sum().sum() == 1
    for policy, error in (({"duplicates": "raise"}, DuplicateDateError), ({"unsorted": "raise"}, UnsortedIndexError)):
        with pytest.raises(error):
            cleaning.clean_returns(again, **policy)
    shuffled = panel.sample(frac=1, random_state=0)
    assert cleaning.clean_returns(shuffled)[0].equals(panel)


def test_repeated_columns(panel):
    for bad in (panel.assign(E=panel["C"]), pd.concat([panel, panel[["C"]]], axis=1)):
        with pytest.raises(DuplicateAssetError, match="C"):
            cleaning.clean_returns(bad)
        cleaned, report = cleaning.clean_returns(bad, assets="drop")
        assert cleaned.equals(panel) and len(report.issues) == 1
    assert cleaning.clean_returns(panel.assign(E=panel["C"]), assets="keep")[0].shape == (300, 5)
    assert cleaning.same_columns(panel.assign(E=-panel["C"])) == []
    assert cleaning.same_columns(pd.DataFrame({"a": [0.0, -0.0], "b": [0.0, 0.0]})) == [(1, 0)]


def test_outlier_policies(panel):
    wild = panel.mask(panel == panel.iloc[3, 0], 0.9)
    center, scale = cleaning.robust_location_scale(wild.to_numpy())
    assert cleaning.clean_returns(wild)[0].equals(wild), "kept by default, and reported"
    assert cleaning.clean_returns(wild)[1].issues["action"].tolist() == ["kept"]
    np.testing.assert_allclose(cleaning.clean_returns(wild, outliers="clip", z=10)[0].iloc[3, 0], center[0] + 10 * scale[0])
    assert np.isnan(cleaning.clean_returns(wild, outliers="mask")[0].iloc[3, 0]) and len(cleaning.clean_returns(wild, outliers="drop")[0]) == 299
    rolling = cleaning.outlier_cells(wild, window=100)
    assert not rolling.iloc[3, 0], "no history before it, no verdict"
    late = panel.mask(panel == panel.iloc[200, 0], 0.9)
    future = late.copy()
    future.iloc[201:] = 5.0
    assert cleaning.outlier_cells(late, window=100).iloc[200, 0]
    pd.testing.assert_frame_equal(cleaning.robust_scores(late, 100).iloc[:201], cleaning.robust_scores(future, 100).iloc[:201])


def test_infinite_values(panel):
    bad = panel.mask(panel == panel.iloc[3, 0], -np.inf)
    with pytest.raises(NonFiniteError, match="in A"):
        cleaning.clean_returns(bad)
    assert np.isnan(cleaning.clean_returns(bad, infinite="mask")[0].iloc[3, 0]) and len(cleaning.clean_returns(bad, infinite="drop")[0]) == 299


def test_unknown_policies_and_words_are_refused(panel):
    with pytest.raises(DataError, match="stale='fill' is no policy; choose 'mask' or 'keep'"):
        cleaning.clean_returns(panel, stale="fill")
    with pytest.raises(DataError, match="not a number"):
        cleaning.clean_returns(panel.astype(object).assign(A="x"))


def test_the_input_is_never_changed_and_policies_are_on_record(panel):
    bad = panel.copy()
    bad.iloc[100:115, 2] = 0.0
    bad.iloc[3, 0] = np.nan
    before = bad.copy()
    cleaned, report = cleaning.clean_returns(bad, missing="fill", outliers="clip")
    pd.testing.assert_frame_equal(bad, before)
    assert cleaned.attrs["cleaning"]["missing"] == "fill" and json.dumps(cleaned.attrs)
    with pytest.raises(FrozenInstanceError):
        report.rows = 3
    table = report.to_frame()
    table.loc[0, "issue"] = "changed"
    assert report.issues.iloc[0, 0] == "stale value" and "<table" in report._repr_html_() and repr(report) == report.summary()


def test_quality_report_of_prices(panel):
    prices = 100 * (1 + panel).cumprod()
    prices.iloc[50, 1] = -1.0
    prices.iloc[100:120, 2] = prices.iloc[100, 2]
    found = cleaning.quality_report(prices, kind="price", calendar=pd.bdate_range("2020-01-01", "2021-12-31").drop(pd.Timestamp("2020-01-06"))).issues
    assert set(found["issue"]) == {"price not above zero", "stale value"}
    assert cleaning.quality_report(prices.drop(prices.index[40]), kind="price", calendar=prices.index).issues.query("issue == 'missing day'")["first"].item() == prices.index[40]
    assert "price not above zero" not in set(cleaning.quality_report(load_prices()).issues["issue"]), "the card says that they are prices"
    assert cleaning.quality_report(load_prices()).issues.query("issue == 'stale value'")[["asset", "count"]].values.tolist() == [["RRC", 469]]


def test_known_errors_are_found_in_real_data():
    returns = load_returns("impact100").drop(columns="cash").join(load_returns("jump_cases"))
    volumes = load_dataset("impact100_volumes").join(load_dataset("jump_cases_volumes"))
    jumps = cleaning.jump_suspects(returns, volumes)
    suspects = {(f"{d:%Y-%m-%d}", a) for d, a in jumps.loc[jumps["suspect"], ["date", "asset"]].values}
    assert {("2008-07-03", "FIS"), ("2011-07-01", "MRO"), ("2012-05-01", "COP")} <= suspects and len(suspects) == 10
    flawed = {(f["first"], f["assets"][0]) for n in ("impact100", "jump_cases") for f in dataset_card(n).flaws if f["first"]}
    assert flawed <= suspects
    assert cleaning.stale_cells(load_returns("us20")).sum().loc[lambda x: x > 0].to_dict() == {"RRC": 469}


def test_plot_of_a_report():
    import matplotlib

    matplotlib.use("Agg")
    axes = cleaning.clean_returns(load_returns("us20"))[1].plot()
    assert axes.get_legend() is not None
    matplotlib.pyplot.close(axes.figure)
