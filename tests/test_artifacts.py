"Stored results: given only while parameters, code and data are the same; never half, never with pickle, never orphaned."

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from portfolio_ml.core import artifacts
from portfolio_ml.core.artifacts import (
    ArtifactError,
    MissingArtifactError,
    StaleArtifactError,
    artifact_folder,
    artifact_key,
    canonical_json,
    hash_data,
    key_parts,
    read_npz,
    recall,
    source_text,
    stored_artifacts,
    told_to_compute,
    write_npz,
)
from portfolio_ml.core.validation import DataError, DataIntegrityError, PortfolioError
from tools.artifacts import recalled
from tools.rerun import chapters

FRAME = pd.DataFrame({"A": [0.1, np.nan, 3.0], "B": [1.0, 2.0, 3.0]}, pd.bdate_range("2020-01-01", periods=3))


def doubled(frame, times=2):
    "Compute something."
    return {"frame": frame * times, "times": times}


def helper():
    "Be rested upon."
    return 1


@pytest.fixture
def told(monkeypatch):
    "Forget what the environment says."
    monkeypatch.delenv(artifacts.VARIABLE, raising=False)
    return monkeypatch


def test_reads_only_what_was_computed_for_the_same_key(tmp_path, told):
    how = dict(parameters={"times": 3}, data=(FRAME,), folder=tmp_path)
    with pytest.raises(MissingArtifactError, match="make artifacts"):
        recall("toy", doubled, **how)
    first = recall("toy", doubled, recompute=True, **how)
    told.setattr(sys.modules[__name__], "np", np)  # nothing that counts
    again = recall("toy", doubled, **how)
    pd.testing.assert_frame_equal(first["frame"], FRAME * 3, check_freq=False)
    pd.testing.assert_frame_equal(again["frame"], first["frame"])
    assert again["times"] == 3


@pytest.mark.parametrize(("part", "change"), [
    ("parameters", {"parameters": {"times": 4}}), ("data", {"data": (FRAME + 1,)}), ("code", {"code": (helper,)}),
    ("data", {"data": (FRAME.rename(columns={"A": "Z"}),)}), ("data", {"data": (FRAME.set_axis(FRAME.index + pd.Timedelta(days=1)),)}),
])
def test_stale_keys_are_refused_and_name_the_part(tmp_path, told, part, change):
    how = dict(parameters={"times": 3}, data=(FRAME,), folder=tmp_path)
    recall("toy", doubled, recompute=True, **how)
    with pytest.raises(StaleArtifactError, match=f"{part} changed") as caught:
        recall("toy", doubled, **(how | change))
    assert caught.value.changed == (part,) and isinstance(caught.value, ArtifactError | PortfolioError)


def test_computing_again_deletes_the_old_key_of_that_name_only(tmp_path, told):
    for name in ("toy", "toy-two"):
        recall(name, doubled, parameters={"times": 3}, data=(FRAME,), folder=tmp_path, recompute=True)
    recall("toy", doubled, parameters={"times": 5}, data=(FRAME,), folder=tmp_path, recompute=True)
    assert len(stored_artifacts(folder=tmp_path)) == 2 and len(stored_artifacts("toy-two", tmp_path)) == 1


def test_the_variable_allows_computing(tmp_path, told):
    calls = []
    told.setattr(artifacts, "write_npz", lambda *a, **k: calls.append(1) or write_npz(*a, **k))
    how = dict(parameters={"times": 3}, data=(FRAME,), folder=tmp_path)
    told.setenv(artifacts.VARIABLE, "stale")
    for _ in range(2):
        recall("toy", doubled, **how)
    assert len(calls) == 1
    told.setenv(artifacts.VARIABLE, "1")
    recall("toy", doubled, **how)
    assert len(calls) == 2 and told_to_compute(False) == "none"


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_truncated_or_altered_files_are_refused(tmp_path, told, cut):
    how = dict(parameters={"times": 3}, data=(FRAME,), folder=tmp_path)
    recall("toy", doubled, recompute=True, **how)
    (path,) = stored_artifacts("toy", tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with pytest.raises(DataIntegrityError, match="truncated or altered"):
        recall("toy", doubled, **how)
    path.write_bytes(b"")
    with pytest.raises(DataIntegrityError):
        recall("toy", doubled, **how)
    at = whole.index(b"frame/0") + 60
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    with pytest.raises(DataIntegrityError):
        recall("toy", doubled, **how)


def test_pickle_is_never_read_or_written(tmp_path):
    np.savez(tmp_path / "bad.npz", x=np.array([{1: 2}], dtype=object))
    with pytest.raises(DataIntegrityError):
        read_npz(tmp_path / "bad.npz")
    with pytest.raises(DataError, match="cannot be stored"):
        write_npz(tmp_path / "x.npz", {"x": np.array([{1: 2}], dtype=object)})
    assert not (tmp_path / "x.npz").exists()


def test_values_come_back_as_they_were(tmp_path):
    given = {
        "frame": FRAME.astype("float32").rename_axis(index="date", columns="asset"), "series": FRAME["B"].rename("b"), "text": "a",
        "array": np.arange(6).reshape(2, 3), "flags": np.array([True, False]), "number": 0.1, "list": [1, "b"],
        "names": pd.DataFrame({"name": ["x", "yy"], "n": [1, 2]}), "dates": FRAME.index.to_numpy(),
    }
    write_npz(tmp_path / "x.npz", given, {"a": 1})
    back, about = read_npz(tmp_path / "x.npz")
    pd.testing.assert_frame_equal(back["frame"], given["frame"], check_freq=False)
    pd.testing.assert_series_equal(back["series"], given["series"], check_freq=False)
    assert list(back["names"]["name"]) == ["x", "yy"] and back["list"] == [1, "b"] and back["number"] == 0.1 and about == {"a": 1}
    for name in ("array", "flags", "dates"):
        np.testing.assert_array_equal(back[name], given[name])
    once = (tmp_path / "x.npz").read_bytes()
    assert write_npz(tmp_path / "y.npz", given, {"a": 1}).read_bytes() == once
    with pytest.raises(DataError, match="one level"):
        write_npz(tmp_path / "z.npz", {"f": pd.concat({"a": FRAME})})
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")


def test_parts_of_the_key(tmp_path):
    assert canonical_json({"b": (1, 2), "a": pd.Timestamp("2020-01-01")}) == '{"a":"2020-01-01T00:00:00","b":[1,2]}'
    for bad in ({"a": np.nan}, {"a": object()}, {1: 2, "a": 3}):
        with pytest.raises(DataError, match="parameters"):
            canonical_json(bad)
    assert hash_data(FRAME) == hash_data(FRAME.copy()) and hash_data(FRAME) != hash_data(FRAME.iloc[:2])
    assert hash_data(np.array([0.0])) == hash_data(np.array([-0.0])) and hash_data(FRAME["A"]) != hash_data(FRAME["B"])
    assert hash_data(pd.concat({"a": FRAME})) != hash_data(pd.concat({"b": FRAME}))
    parts = key_parts({}, (doubled,), (FRAME,))
    assert len(artifact_key(parts)) == 12 and set(parts) == {"parameters", "code", "data"}
    with pytest.raises(DataError, match="source"):
        source_text(len)


def test_comments_and_empty_lines_do_not_count(tmp_path):
    texts = ["def f(x):\n    return x\n", "def f(x):  # a number\n\n    # so\n    return x\n", "def f(x):\n    return x + 1\n"]
    seen = []
    for k, text in enumerate(texts):
        path = tmp_path / f"m{k}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(f"m{k}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[f"m{k}"] = module
        spec.loader.exec_module(module)
        seen.append((source_text(module.f), source_text(module)))
        del sys.modules[f"m{k}"]
    assert seen[0] == seen[1] != seen[2]


def test_classes_count_by_their_methods_wherever_they_are_written():
    from portfolio_ml.forecast.recurrent import RecurrentNetwork

    class Toy:
        "Be a class."

        size = 3

        def double(self, x):
            "Double."
            return 2 * x

        @property
        def half(self):
            "Halve."
            return self.size / 2

    text = source_text(Toy)
    assert "return 2 * x" in text and "size = 3" in text and "self.size / 2" in text
    assert "def gradients" in source_text(RecurrentNetwork) and "hidden" in source_text(RecurrentNetwork)


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a_", "-a"])
def test_names_make_files(tmp_path, name):
    with pytest.raises(DataError, match="name"):
        recall(name, doubled, data=(FRAME,), folder=tmp_path, recompute=True)


def test_results_are_mappings_and_closures_are_refused(tmp_path):
    with pytest.raises(DataError, match="mapping"):
        recall("toy", helper, folder=tmp_path, recompute=True)
    hidden = 3
    with pytest.raises(DataError, match="hidden"):
        recall("toy", lambda: {"a": hidden}, folder=tmp_path, recompute=True)


def test_outside_a_checkout_the_users_cache_is_used(tmp_path):
    site = tmp_path / "site"  # no notebooks, no settings.ini: not a checkout
    code = f"import portfolio_ml.core.artifacts as a; from pathlib import Path\na._top = lambda: Path({str(site)!r})\nprint(a.artifact_folder())"
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "LOCALAPPDATA": str(tmp_path / "cache")}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout.strip()
    assert Path(out).name == "artifacts" and Path(out).parent.name == "portfolio_ml"
    if sys.platform != "darwin":
        assert out.startswith(str(tmp_path / "cache"))


def test_no_artifact_is_orphaned():
    wanted = Counter(name for path in chapters() for name in recalled(path))
    assert all(n == 1 for n in wanted.values()), f"recalled twice under one name: {wanted}"
    here = Counter(path.name.rpartition("-")[0] for path in stored_artifacts())
    assert here == wanted, "files that no chapter recalls, or results never computed: make artifacts"
    strangers = set(artifact_folder().glob("*")) - set(stored_artifacts())
    assert not strangers and sum(p.stat().st_size for p in stored_artifacts()) < 3_000_000
