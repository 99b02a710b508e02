"""Equal content has equal fingerprints, different content different ones. Code is content."""

import functools
import importlib
import pickle
import uuid

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from skkd.teachers.hashing import fingerprint, fingerprint_and_code, pickled_bytes

X, y = load_iris(return_X_y=True)


def linear(**settings):
    return LogisticRegression(max_iter=9000, **settings)


def make_class(number=1, base=object, method=lambda self: 0):
    class Made(base):
        K = number
        run = method
        prop = property(lambda self: number)
        still = staticmethod(method)

        @functools.cached_property
        def cached(self):
            return number

    return Made


def make_function(code="x + 1", default=0, keyword=0, closed_over=0, attribute=0):
    def function(x, d=default, *, k=keyword):
        return [closed_over for _ in range(3)]

    function.attribute = attribute
    function.inner = eval(f"lambda x: [{code} for _ in range(2)]")
    return function


PAIRS = {
    "numbers": (X, X + 1e-12),
    "dtype": (X, X.astype(np.float32)),
    "shape": (X, X.T),
    "mask": (np.ma.array([1, 2], mask=[0, 0]), np.ma.array([1, 2], mask=[0, 1])),
    "sparse": (sparse.csr_array(X), sparse.csr_array(X + 1)),
    "names": ({"a": 1}, {"b": 1}),
    "fitted": (
        LogisticRegression(max_iter=9000).fit(X, y),
        LogisticRegression(C=9, max_iter=9000).fit(X, y),
    ),
    "code": (make_function("x + 1"), make_function("x - 1")),
    "default": (make_function(default=0), make_function(default=1)),
    "keyword": (make_function(keyword=0), make_function(keyword=1)),
    "closure": (make_function(closed_over=0), make_function(closed_over=1)),
    "attribute": (make_function(attribute=0), make_function(attribute=1)),
    "class attribute": (make_class(1), make_class(2)),
    "method": (make_class(), make_class(method=lambda self: 1)),
    "base": (make_class(), make_class(base=make_class(3))),
    "instance": (make_class(1)(), make_class(2)()),
    "partial": (functools.partial(make_function, 1), functools.partial(make_function, 2)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_other_content_has_another_fingerprint(name):
    one, other = PAIRS[name]
    assert None is not fingerprint(one) == fingerprint(one) != fingerprint(other)
    assert fingerprint(other) is not None


def test_the_same_code_made_twice_has_the_same_fingerprint():
    assert fingerprint(make_function()) == fingerprint(make_function())
    assert fingerprint(make_class()()) == fingerprint(make_class()())
    assert fingerprint(X.copy()) == fingerprint(X)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int64"])
def test_the_numbers_of_tensors_are_hashed(dtype):
    torch = pytest.importorskip("torch")
    one = torch.ones(3, 2, dtype=getattr(torch, dtype))
    other = one.clone()
    other[0, 0] = 0
    assert fingerprint(one) == fingerprint(one.clone()) != fingerprint(other)
    assert fingerprint(torch.zeros(())) is not None
    assert fingerprint(torch.nn.Linear(2, 2)) is not None


def test_the_weights_of_a_module_of_the_users_class_are_hashed():
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.linear(x)

    net = Net()
    before = fingerprint(net)
    assert before == fingerprint(net)
    with torch.no_grad():
        net.linear.bias.add_(1)
    assert None is not fingerprint(net) != before


def test_folds_of_tables_are_the_same_rows_if_their_columns_are():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    table = pd.DataFrame(X, columns=list("abcd")).assign(e=list("xyz") * 50)
    fold = np.arange(0, 150, 2)
    for frame in (table, table.astype({"e": object}), table.astype({"e": "category"})):
        assert None is not fingerprint(frame.iloc[fold]) == fingerprint(frame.iloc[fold])
    of_polars = pl.DataFrame({name: table[name].tolist() for name in table})
    assert None is not fingerprint(of_polars[fold]) == fingerprint(of_polars[fold])
    assert fingerprint(table) != fingerprint(table.rename(columns={"a": "b", "b": "a"}))
    changed = table.copy()
    changed.loc[7, "e"] = "other"
    assert fingerprint(table) != fingerprint(changed)


@pytest.mark.parametrize(
    "teacher",
    [
        RandomForestClassifier(5),
        HistGradientBoostingClassifier(max_iter=3),
        LogisticRegression(max_iter=9000),
    ],
    ids=lambda teacher: type(teacher).__name__,
)
def test_an_object_that_was_pickled_keeps_its_fingerprint(teacher):
    once = pickle.loads(pickle.dumps(teacher.fit(X, y)))
    assert fingerprint(once) == fingerprint(pickle.loads(pickle.dumps(once)))


def test_a_function_that_calls_itself_has_a_fingerprint():
    def outer():
        def countdown(n):
            return n and countdown(n - 1)

        return countdown

    assert fingerprint(outer()) is not None


def test_content_that_cannot_be_read_has_no_fingerprint():
    import threading

    assert fingerprint(threading.Lock()) is None
    assert fingerprint([*X, open]) is not None
    assert fingerprint(row for row in X) is None
    assert pickled_bytes(threading.Lock()) is None


def test_code_is_listed_apart_from_the_rest():
    one, other = make_class(1), make_class(2)
    digest, code = fingerprint_and_code([one(), 3])
    assert code == [one]
    assert digest == fingerprint_and_code([other(), 3])[0] != fingerprint_and_code([one(), 4])[0]
    assert fingerprint_and_code(LogisticRegression())[1] == []


@pytest.mark.parametrize("file", ["{}.py", "{}/__init__.py"])
@pytest.mark.parametrize("is_installed", [True, False])
def test_packages_installed_into_a_folder_of_any_name_are_not_the_users(
    is_installed, file, tmp_path, monkeypatch
):
    name = f"library_{uuid.uuid4().hex}"
    path = tmp_path / file.format(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("class Thing: pass")
    record = tmp_path / "library-1.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text(f"{file.format(name if is_installed else name + '2')},sha256=,17\n")
    monkeypatch.syspath_prepend(tmp_path)
    thing = importlib.import_module(name).Thing
    assert fingerprint_and_code(thing())[1] == [thing][is_installed:]


def test_the_number_of_bytes_is_that_of_the_pickle():
    assert abs(pickled_bytes(X) - X.nbytes) < 1000
