"""Loaded classifiers as scikit-learn's clients use them."""

import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
from exported_cases import fitted, numbers
from module_files import module_file, there_and_back
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import get_scorer
from sklearn.model_selection import cross_val_score
from sklearn.utils import get_tags

import skkd
from skkd import DistilledClassifier, NeuralClassifier
from skkd.exporting.libraries import library
from skkd.exporting.verify import TOLERANCES

FORMATS = (".onnx", ".npz", ".safetensors", ".skops")


@pytest.fixture(scope="module", params=FORMATS)
def saved(request, tmp_path_factory):
    """The path of a file with three classes and four numbers, in each format."""
    path = tmp_path_factory.mktemp("saved") / f"clf{request.param}"
    fitted("labels from 1")[0].export(path)
    return path


@pytest.fixture(scope="module", params=FORMATS)
def saved_mixed(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / f"mixed{request.param}"
    fitted("mixed table")[0].export(path)
    return path


# ---- a classifier of scikit-learn ------------------------------------------------------------


def test_has_the_attributes_of_a_fitted_classifier(saved):
    clf, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    assert loaded.classes_.tolist() == [1, 2, 10]
    assert loaded.n_features_in_ == 4
    assert not hasattr(loaded, "feature_names_in_")
    assert loaded.schema.names == ["x0", "x1", "x2", "x3"]
    assert is_classifier(loaded)
    assert get_tags(loaded).input_tags.allow_nan
    assert loaded.score(X, clf.predict(X)) == 1
    assert get_scorer("neg_log_loss")(loaded, X, clf.predict(X)) < 0
    assert "4 columns, 3 classes" in repr(loaded)


def test_has_the_names_and_categories_of_a_table(saved_mixed):
    clf, X = fitted("mixed table")
    loaded = skkd.load(saved_mixed)
    assert loaded.feature_names_in_.tolist() == X.columns.tolist()
    features = {feature.name: feature for feature in loaded.schema.features}
    assert features["region"].categories == ("north", "south")
    assert features["married"].categories == (False, True)
    assert features["grade"].kind == "number"
    assert features["job"].kind == "category"
    assert loaded.schema.to_dict() == clf.network_.schema.to_dict()


def test_clones_copies_and_pickles_predict(saved):
    _, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    expected = loaded.predict_proba(X)
    assert clone(loaded) is loaded
    for other in (copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        assert np.array_equal(other.predict_proba(X), expected)


def test_threads_may_share_it(saved):
    _, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    call = joblib.delayed(loaded.predict_proba)
    answers = joblib.Parallel(n_jobs=4, backend="threading")(call(X) for _ in range(8))
    assert all(np.array_equal(answer, answers[0]) for answer in answers)


def test_serves_clients_that_only_predict(saved):
    clf, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    assert cross_val_score(FrozenEstimator(loaded), X, clf.predict(X), cv=3).tolist() == [1, 1, 1]


def test_cannot_be_fitted(saved):
    with pytest.raises(TypeError, match="cannot be fitted"):
        skkd.load(saved).fit(numbers(), None)


@pytest.mark.parametrize("is_cloned", [False, True])
def test_teaches(saved, is_cloned):
    clf, X = fitted("labels from 1")
    settings = {"alpha": 1.0, "hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0}
    student = DistilledClassifier(skkd.load(saved), **settings)
    student = clone(student) if is_cloned else student
    student.fit(X, clf.predict(X))
    same = DistilledClassifier(clf, **settings).fit(X, clf.predict(X))
    assert np.abs(student.predict_proba(X) - same.predict_proba(X)).max() < 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", ["mixed table with bins", "no preprocessing"])
def test_what_was_loaded_is_exported_again(case, dtype, tmp_path):
    clf, X = fitted(case)
    clf.export(tmp_path / "old.npz", dtype=dtype, metadata={"data": "toy"})
    loaded = skkd.load(tmp_path / "old.npz")
    if case == "no preprocessing" and dtype == "float64":
        with pytest.raises(ValueError, match="weights of float64, and reads rows of float32"):
            skkd.export(loaded, tmp_path / "new.npz", dtype=dtype)
        return
    for ending in (".npz", ".onnx"):
        skkd.export(loaded, tmp_path / f"new{ending}", dtype=dtype)
        again = skkd.load(tmp_path / f"new{ending}")
        assert np.abs(again.predict_proba(X) - clf.predict_proba(X)).max() < TOLERANCES[dtype]
        assert again.schema.to_dict() == loaded.schema.to_dict()
        assert again.metadata == loaded.metadata
    assert (tmp_path / "new.npz").read_bytes() == (tmp_path / "old.npz").read_bytes()
    with pytest.raises(ValueError, match="loaded from an ONNX file cannot be exported again"):
        skkd.export(again, tmp_path / "newer.npz")


def test_takes_columns_by_name_in_any_order(saved_mixed):
    clf, X = fitted("mixed table")
    loaded = skkd.load(saved_mixed)
    turned = X[X.columns[::-1]].assign(more=1)
    assert np.abs(loaded.predict_proba(turned) - clf.predict_proba(X)).max() < 1e-5


def test_names_the_columns_that_are_missing(saved_mixed):
    _, X = fitted("mixed table")
    with pytest.raises(ValueError, match=r"X lacks the columns \['age', 'job'\]"):
        skkd.load(saved_mixed).predict(X.drop(columns=["job", "age"]))


def test_refuses_rows_of_another_width(saved):
    with pytest.raises(ValueError, match="X has 3 features, but LoadedClassifier is expecting 4"):
        skkd.load(saved).predict(numbers()[:, :3])


def test_refuses_infinite_and_no_rows(saved):
    loaded = skkd.load(saved)
    with pytest.raises(ValueError, match="infinity"):
        loaded.predict(np.full((1, 4), np.inf))
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        loaded.predict(np.empty((0, 4)))


def test_missing_numbers_are_refused_if_the_classifier_takes_none(tmp_path):
    clf, X = fitted("no preprocessing")
    for ending in FORMATS:
        clf.export(tmp_path / f"clf{ending}")
        with pytest.raises(ValueError, match="NaN"):
            skkd.load(tmp_path / f"clf{ending}").predict(X * np.nan)


def test_libraries_are_imported_when_they_are_needed_and_torch_and_skops_never(tmp_path):
    paths = [str(tmp_path / f"clf{ending}") for ending in FORMATS]
    for path in paths:
        fitted("labels from 1")[0].export(path)
    paths.append(str(module_file(tmp_path / "module.onnx", there_and_back)))
    code = (
        "import sys, numpy as np, skkd, skkd.exporting.write\n"
        "skkd.export, skkd.load\n"
        "assert not {'onnx', 'onnxruntime', 'safetensors'} & set(sys.modules)\n"
        "for path in sys.argv[1:]: skkd.load(path).predict(np.ones((2, 4)))\n"
        "assert not {'torch', 'skorch', 'skops'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, *paths], check=True)


def test_a_format_can_be_given_for_any_ending(saved, tmp_path):
    clf, X = fitted("labels from 1")
    clf.export(tmp_path / "model.bin", format=saved.suffix[1:])
    loaded = skkd.load(tmp_path / "model.bin", format=saved.suffix[1:])
    assert loaded.predict(X).tolist() == clf.predict(X).tolist()
    with pytest.raises(ValueError, match="format"):
        skkd.load(saved, format="pickle")


def test_changes_of_the_attributes_do_not_change_predictions(saved):
    clf, X = fitted("labels from 1")
    loaded = skkd.load(saved)
    loaded.classes_[:] = 0
    assert loaded.classes_.tolist() == [1, 2, 10]
    assert loaded.predict(X).tolist() == clf.predict(X).tolist()


def test_classes_of_a_wider_dtype_than_their_labels(tmp_path):
    X, y = numbers(), np.array(["a", "bb"], dtype="<U20")[np.arange(120) % 2]
    clf = NeuralClassifier((4,), max_epochs=1).fit(X, y)
    for ending in FORMATS:
        clf.export(tmp_path / f"clf{ending}")
        assert skkd.load(tmp_path / f"clf{ending}").classes_.tolist() == ["a", "bb"]


# ---- libraries -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "name"),
    [
        *((".onnx", "onnx"), (".onnx", "onnxruntime")),
        *((".safetensors", "safetensors"), (".skops", "skops")),
    ],
)
def test_a_missing_library_is_named_with_its_extra(ending, name, monkeypatch, tmp_path):
    clf, _ = fitted("labels from 1")
    clf.export(tmp_path / f"clf{ending}")
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf"needs {name}: pip install 'skkd\[export\]'"):
        clf.export(tmp_path / f"other{ending}")
    if name == "skops":  # the file is read without it
        assert skkd.load(tmp_path / "clf.skops").n_features_in_ == 4
    else:
        with pytest.raises(ImportError, match=rf"needs {name}: pip install 'skkd\[export\]'"):
            skkd.load(tmp_path / f"clf{ending}")
    assert [path.name for path in tmp_path.iterdir()] == [f"clf{ending}"]


def test_npz_needs_no_library(monkeypatch, tmp_path):
    for name in ("onnx", "onnxruntime", "safetensors", "skops"):
        monkeypatch.setitem(sys.modules, name, None)
    fitted("labels from 1")[0].export(tmp_path / "clf.npz")
    assert skkd.load(tmp_path / "clf.npz").n_features_in_ == 4


def test_an_error_inside_of_a_library_is_not_hidden(monkeypatch, tmp_path):
    (tmp_path / "broken_library.py").write_text("import what_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_is_not_there"):
        library("broken_library", "a test")
