"""Masked arrays: masked entries of X are missing values, those of labels and weights errors."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression

from skkd import DistilledClassifier, NeuralClassifier
from skkd.data.masks import fill_mask
from skkd.transfer import Gibbs, Munge, Spunge

TINY = {"hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0}
X = np.random.RandomState(0).standard_normal((40, 3))
y = (X[:, 0] > 0).astype(int)
MASK = np.random.RandomState(1).random_sample(X.shape) < 0.2
#: The data under the mask are far from the others.
MASKED = np.ma.array(np.where(MASK, 1e6, X), mask=MASK)
GAPS = np.where(MASK, np.nan, X)

ROWS = {
    "floats": (MASKED, GAPS),
    "float32": (MASKED.astype("f4"), GAPS.astype("f4")),
    "ints": (
        np.ma.array(np.rint(5 * X).astype(int), mask=MASK),
        np.where(MASK, np.nan, np.rint(5 * X)),
    ),
    "bools": (np.ma.array(X > 0, mask=MASK), np.where(MASK, None, X > 0)),
    "objects": (
        np.ma.array(np.where(X > 0, "a", "b").astype(object), mask=MASK),
        np.where(MASK, None, np.where(X > 0, "a", "b")),
    ),
    "words": (
        np.ma.array(np.where(X > 0, "a", "b"), mask=MASK),
        np.where(MASK, None, np.where(X > 0, "a", "b")),
    ),
    "nothing masked": (np.ma.array(X), X),
}


def predictions(rows, new, **settings):
    clf = NeuralClassifier(**TINY | settings).fit(rows, y)
    return clf.predict_proba(new)


@pytest.mark.parametrize(("masked", "gaps"), ROWS.values(), ids=list(ROWS))
def test_masked_entries_are_missing_values(masked, gaps):
    data = masked.data.copy()
    expected = predictions(gaps, gaps)
    np.testing.assert_array_equal(predictions(masked, masked), expected)
    np.testing.assert_array_equal(predictions(gaps, masked), expected)
    np.testing.assert_array_equal(masked.data, data)


def test_masked_validation_rows_are_missing_values():
    of_masked = NeuralClassifier(**TINY).fit(X, y, X_val=MASKED, y_val=y)
    of_gaps = NeuralClassifier(**TINY).fit(X, y, X_val=GAPS, y_val=y)
    assert of_masked.history_[-1]["valid_loss"] == of_gaps.history_[-1]["valid_loss"]


def test_masked_entries_are_missing_in_partial_fit():
    of_masked = NeuralClassifier(**TINY).partial_fit(MASKED, y, classes=[0, 1])
    of_gaps = NeuralClassifier(**TINY).partial_fit(GAPS, y, classes=[0, 1])
    for rows in (MASKED, GAPS):
        of_masked.partial_fit(rows, y)
    of_gaps.partial_fit(GAPS, y).partial_fit(GAPS, y)
    np.testing.assert_array_equal(of_masked.predict_proba(MASKED), of_gaps.predict_proba(GAPS))


def test_a_transformer_gets_masked_entries_as_missing_values():
    expected = predictions(GAPS, GAPS, preprocessor=SimpleImputer())
    np.testing.assert_array_equal(
        predictions(MASKED, MASKED, preprocessor=SimpleImputer()), expected
    )


def test_masked_entries_are_refused_if_missing_values_are():
    with pytest.raises(ValueError, match="Input X contains NaN"):
        NeuralClassifier(preprocessor=None, **TINY).fit(MASKED, y)
    clf = NeuralClassifier(preprocessor=None, **TINY).fit(X, y)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        clf.predict(MASKED)


@pytest.mark.parametrize("fit_teacher", [False, True])
def test_a_teacher_gets_masked_entries_as_missing_values(fit_teacher):
    teacher = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    if not fit_teacher:
        teacher.fit(GAPS, y)
    settings = {"fit_teacher": fit_teacher, "augment": "munge", "alpha": 1.0, **TINY}
    of_masked = DistilledClassifier(teacher, **settings).fit(MASKED, y, X_unlabeled=MASKED[:5])
    of_gaps = DistilledClassifier(teacher, **settings).fit(GAPS, y, X_unlabeled=GAPS[:5])
    np.testing.assert_array_equal(of_masked.predict_proba(X), of_gaps.predict_proba(X))


@pytest.mark.parametrize("sampler", [Munge(), Spunge(), Gibbs()], ids=lambda s: type(s).__name__)
def test_samplers_get_masked_entries_as_missing_values(sampler):
    of_masked = sampler.fit(MASKED).sample(20, np.random.RandomState(0))
    of_gaps = sampler.fit(GAPS).sample(20, np.random.RandomState(0))
    np.testing.assert_array_equal(of_masked, of_gaps)


def masked_first(values):
    return np.ma.array(values, mask=np.arange(len(values)) == 0)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("y", {"y": masked_first(y)}),
        ("y", {"y": masked_first(np.array(["a", "b"])[y])}),
        ("sample_weight", {"sample_weight": masked_first(np.ones(40))}),
        ("y_val", {"X_val": X, "y_val": masked_first(y)}),
    ],
)
@pytest.mark.parametrize(
    "clf",
    [NeuralClassifier(**TINY), DistilledClassifier(LogisticRegression().fit(X, y), **TINY)],
    ids=["neural", "distilled"],
)
def test_masked_labels_and_weights_are_refused(clf, name, arguments):
    message = f"{name} is a masked array with 1 masked values, and every row needs its value"
    with pytest.raises(ValueError, match=message):
        clf.fit(**{"X": X, "y": y} | arguments)


def test_masked_classes_labels_of_score_and_teacher_probabilities_are_refused():
    clf = NeuralClassifier(**TINY)
    with pytest.raises(ValueError, match="classes is a masked array with 1 masked"):
        clf.partial_fit(X, y, classes=masked_first([0, 1]))
    clf.fit(X, y)
    with pytest.raises(ValueError, match="y is a masked array with 1 masked"):
        clf.score(X, masked_first(y))
    with pytest.raises(ValueError, match="sample_weight is a masked array with 1 masked"):
        clf.score(X, y, masked_first(np.ones(40)))
    proba = np.ma.array(np.full((40, 2), 0.5), mask=[[True, False]] + [[False, False]] * 39)
    with pytest.raises(ValueError, match="teacher_proba is a masked array with 1 masked"):
        DistilledClassifier(**TINY).fit(X, y, teacher_proba=proba)
    with pytest.raises(ValueError, match="teacher is a masked array with 1 masked"):
        DistilledClassifier(lambda X: proba[: len(X)], alpha=1.0, augment=None, **TINY).fit(X, y)


def test_rows_without_a_mask_are_returned_unchanged():
    for rows in (X, X.tolist(), None, "text"):
        assert fill_mask(rows) is rows
