"""Read-only views of every container, and the objects that get copies instead."""

import functools
import types
from contextlib import suppress

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from lightgbm import LGBMClassifier
from scipy import sparse
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from xgboost import XGBClassifier

from skkd.data.protected_data import call_protected, copied, read_only

X = np.random.RandomState(0).standard_normal((8, 3))
Y = np.arange(8) % 2

ARRAYS = {
    "floats": X,
    "by column": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=1)[::-1, ::2],
    "booleans": X > 0,
    "big-endian": X.astype(">f4"),
    "texts": np.array(["a", "bb"]),
    "objects": np.array([["a", 1.5], [None, 2]], dtype=object),
    "dates": np.array(["2020-01-01"], dtype="datetime64[s]"),
    "records": np.zeros(3, dtype=[("a", int), ("b", float)]),
    "images": np.zeros((2, 1, 4, 4)),
    "no rows": X[:0],
    "no dimensions": np.array(1.0),
}
if hasattr(getattr(np, "dtypes", None), "StringDType"):
    ARRAYS["new texts"] = np.array(["a", "bb"], dtype=np.dtypes.StringDType())

SPARSE = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_a_read_only_array_is_the_same_memory_in_the_same_layout(array):
    view = read_only(array)
    assert (view == array).all()
    assert (view.dtype, view.shape, view.strides) == (array.dtype, array.shape, array.strides)
    assert view.size == 0 or np.shares_memory(view, array)
    assert not view.flags.writeable
    assert array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[...] = array
    own = copied(array)
    assert (own == array).all()
    assert own.flags.writeable
    assert not np.shares_memory(own, array)


def test_a_read_only_array_cannot_be_made_writable_again():
    with pytest.raises(ValueError, match="WRITEABLE"):
        read_only(X).flags.writeable = True


def test_a_read_only_memory_map_stays_one(tmp_path):
    mapped = np.memmap(tmp_path / "rows", dtype=float, mode="w+", shape=X.shape)
    view = read_only(mapped)
    assert type(view) is np.memmap
    assert np.shares_memory(view, mapped)
    assert not view.flags.writeable


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("name", SPARSE)
def test_a_read_only_sparse_matrix_has_the_same_entries_and_cannot_change_them(name, kind):
    matrix = getattr(sparse, f"{name}_{kind}")(np.where(X > 0, X, 0.0))
    view = read_only(matrix)
    assert type(view) is type(matrix)
    assert (view.toarray() == matrix.toarray()).all()
    if name in ("lil", "dok"):
        view[0, 0] = 9.0
    else:
        assert np.shares_memory(view.data, matrix.data)
        with pytest.raises(ValueError, match="read-only"):
            view.data *= 2
    with suppress(ValueError, NotImplementedError):
        view.resize(2, 2)
    assert (matrix.toarray() == np.where(X > 0, X, 0.0)).all()


def test_entries_out_of_order_are_not_sorted_in_the_callers_matrix():
    matrix = sparse.csr_matrix(X)
    matrix.indices = matrix.indices[::-1].copy()
    matrix.has_sorted_indices = False
    before = matrix.indices.copy()

    def sort(rows):
        rows.sort_indices()
        return rows

    assert (call_protected(sort, matrix, owner=sort).indices == [0, 1, 2] * 8).all()
    assert (matrix.indices == before).all()


TABLE = pd.DataFrame(
    {
        "a": X[:, 0].copy(),
        "b": X[:, 1].copy(),
        "whole": np.arange(8),
        "kind": pd.Categorical(list("xyxyxyxy")),
        "text": list("abcdefgh"),
        "gaps": pd.array([1, None] * 4, dtype="Int64"),
        "day": pd.date_range("2020-01-01", periods=8),
        "object": pd.Series([1, "a"] * 4, dtype=object),
    }
)


@pytest.mark.parametrize(
    "table", [TABLE, TABLE[["a", "b"]], TABLE["a"], TABLE["kind"], pd.DataFrame(X)]
)
def test_a_read_only_table_is_the_same_table(table):
    view = read_only(table)
    assert type(view) is type(table)
    assert view.equals(table)
    assert view.index.equals(table.index)
    assert not view.to_numpy().flags.writeable or not np.shares_memory(
        view.to_numpy(), table.to_numpy()
    )


def test_the_numbers_of_a_read_only_table_are_not_copied():
    table = pd.DataFrame(X.copy())
    assert np.shares_memory(read_only(table).to_numpy(), table.to_numpy())
    assert read_only(table).to_numpy().strides == table.to_numpy().strides


def test_a_table_of_an_unknown_library_is_copied():
    class Like:
        iloc = None

        def copy(self, deep=True):
            own = Like()
            own.is_deep = deep
            return own

    assert read_only(Like()).is_deep


def test_nested_lists_are_copied_deeply():
    rows = [[1.0, [2.0, 3.0]], (4.0, [5.0]), {"a": 1}, np.zeros(2), "text"]
    own = read_only(rows)
    assert repr(own) == repr(rows)
    own[0][1][0] = own[1][1][0] = own[2]["a"] = own[3][0] = 9.0
    assert repr(rows) == repr([[1.0, [2.0, 3.0]], (4.0, [5.0]), {"a": 1}, np.zeros(2), "text"])


@pytest.mark.parametrize("data", [pl.DataFrame({"a": [1.0]}), pl.Series([1.0]), torch.ones(1)])
def test_polars_and_tensors_are_cloned(data):
    own = read_only(data)
    own[(0, "a") if isinstance(data, pl.DataFrame) else 0] = 0.0
    assert float(np.asarray(data).ravel()[0]) == 1.0


@pytest.mark.parametrize("data", [None, 3, "text"])
def test_objects_that_are_no_containers_are_returned_unchanged(data):
    assert read_only(data) is data


def plain(code, **names):
    """Functions of a module that does not import torch."""
    module = types.ModuleType("plain_module")
    vars(module).update(names)
    exec(code, vars(module))
    return module.answer


def net():
    return NeuralNetClassifier(torch.nn.Linear, module__in_features=3, module__out_features=2)


class Wrapper:
    """A class of a module that imports torch."""

    def predict_proba(self, X):
        return X


OF_TORCH = {
    "net": net(),
    "module": torch.nn.Linear(3, 2),
    "pipeline": make_pipeline(StandardScaler(), net()),
    "search": GridSearchCV(net(), {}),
    "vote": VotingClassifier([("lr", LogisticRegression()), ("net", net())]),
    "frozen": FrozenEstimator(net()),
    "wrapper": Wrapper(),
    "bound": net().predict_proba,
    "partial": functools.partial(plain("def answer(net, X): ..."), net()),
    "default": plain("def answer(X, net=net): ...", net=net()),
    "reads": plain("def answer(X): return net.predict_proba(X)", net=net()),
    "closure": plain(
        "def make():\n inner = net\n return lambda X: inner(X)\nanswer = make()", net=net()
    ),
    "imports": plain("import torch\ndef answer(X): ..."),
}


@pytest.mark.parametrize("owner", OF_TORCH.values(), ids=OF_TORCH)
def test_objects_that_use_torch_get_copies_because_torch_writes_to_read_only_memory(owner):
    seen = call_protected(lambda rows: rows, X, owner=owner)
    assert seen.flags.writeable
    assert not np.shares_memory(seen, X)


OF_OTHERS = {
    "forest": RandomForestClassifier(3).fit(X, Y),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y),
    "xgboost": XGBClassifier(n_estimators=2).fit(X, Y),
    "lightgbm": LGBMClassifier(n_estimators=2, verbose=-1).fit(X, Y),
    "bound": LogisticRegression().predict_proba,
    "function": plain("def answer(X): return forest.predict_proba(X)", forest=LogisticRegression()),
    "empty closure": plain("def make():\n def f(): return g\n return f\n g = 1\nanswer = make()"),
}


@pytest.mark.parametrize("owner", OF_OTHERS.values(), ids=OF_OTHERS)
def test_objects_that_do_not_use_torch_get_no_copy(owner):
    assert np.shares_memory(call_protected(lambda rows: rows, X, owner=owner), X)


def test_a_function_that_writes_through_torch_does_not_reach_the_callers_rows(recwarn):
    def zero(rows):
        return torch.from_numpy(rows).zero_()

    rows = X.copy()
    assert not call_protected(zero, rows, owner=zero).any()
    assert (rows == X).all()
    assert not recwarn


@pytest.mark.parametrize(
    ("error", "is_tried_again"),
    [
        (ValueError("assignment destination is read-only"), True),
        (ValueError("buffer source array is read-only"), True),
        (TypeError("No matching definition for argument type(s) readonly array(float64)"), True),
        (ValueError("array is not writeable"), True),
        (BufferError("Object is not writable."), True),
        (UserWarning("The given NumPy array is not writable"), True),
        (ValueError("array must not contain infs"), False),
        (KeyError("a"), False),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_errors_about_read_only_memory_are_distinguished_from_others(
    error, is_tried_again, is_wrapped
):
    calls = []

    def work(rows):
        calls.append(rows)
        if not is_wrapped:
            raise error
        try:
            raise error
        except Exception as inner:
            raise RuntimeError("all fits failed") from inner

    with pytest.raises(RuntimeError if is_wrapped else type(error)):
        call_protected(work, X, owner=LogisticRegression())
    assert len(calls) == 1 + is_tried_again
