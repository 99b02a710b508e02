import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skkd.teachers.soft_labels import align, check_probabilities, mix, named_columns


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ([np.nan, 1], "is not finite"),
        ([np.inf, 0], "is not finite"),
        ([-0.1, 1.1], "has a negative entry"),
        ([0.2, 0.2], "sums to 0.4"),
        ([0.0, 0.0], "sums to 0, not to 1"),
        ([3.0, -2.0], "negative.*logits"),
        ([3.0, 2.0], "sums to 5, not to 1 .are these logits"),
    ],
)
def test_invalid_probabilities_are_refused_with_their_row(row, fault):
    with pytest.raises(ValueError, match=f"row 1.*{fault}"):
        check_probabilities([[0.5, 0.5], row], 2)


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 2, 2), ()])
def test_other_shapes_than_rows_by_classes_are_refused(shape):
    with pytest.raises(ValueError, match="one probability per row and class.*two columns"):
        check_probabilities(np.ones(shape), 4)


def test_several_outputs_are_refused():
    with pytest.raises(ValueError, match="teacher_proba answers with a list.*one output"):
        check_probabilities([np.eye(2), np.eye(2)], 2, name="teacher_proba")


def test_another_number_of_rows_names_the_likely_cause():
    with pytest.raises(ValueError, match="2 rows for the 3 rows of X: a meta-estimator may have"):
        check_probabilities(np.eye(2), 3)


def test_float32_rounding_is_renormalised():
    p = check_probabilities(np.array([[0.3, 0.7000002]], dtype=np.float32), 1)
    assert p.dtype == np.float64
    assert abs(p.sum() - 1) < 1e-15


probabilities = arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(2, 4)), elements=st.floats(1e-3, 1)
).map(lambda p: p / p.sum(axis=1, keepdims=True))


@given(probabilities, st.randoms())
def test_a_permutation_of_the_columns_is_undone(p, random):
    classes = np.arange(p.shape[1])
    order = list(classes)
    random.shuffle(order)
    np.testing.assert_allclose(align(p[:, order], order, classes), p)


@given(probabilities)
def test_the_mean_of_a_teacher_with_itself_is_the_teacher(p):
    np.testing.assert_allclose(mix([p, p, p], [1, 2, 0.5]), p, rtol=1e-12)


@given(probabilities)
def test_checked_probabilities_stay_as_they_are(p):
    np.testing.assert_allclose(check_probabilities(p, len(p)), p, rtol=1e-15)


def test_columns_are_aligned_by_label_not_by_position():
    p = np.array([[0.5, 0.3, 0.2]])
    np.testing.assert_array_equal(align(p, [2, 0, 1], np.array([0, 1, 2])), [[0.3, 0.2, 0.5]])


def test_other_classes_are_refused_unless_allowed():
    p = np.array([[0.5, 0.5], [0.0, 1.0]])
    with pytest.raises(ValueError, match="a meta-estimator has re-encoded it"):
        align(p, [1, 2], np.array([0, 1]))
    np.testing.assert_array_equal(align(p, [1, 2], np.array([0, 1]), "intersect"), [[0, 1], [0, 0]])


def test_labels_with_no_class_in_common_are_refused():
    with pytest.raises(ValueError, match="no class in common"):
        align(np.array([[0.5, 0.5]]), ["a", "b"], np.array([0, 1]), "intersect")


@pytest.mark.parametrize(
    ("known", "name", "advice"),
    [
        (["a", "b"], "teacher", "in common: if y is not yours, a meta-estimator"),
        ([0, 1], "teacher", "the teacher was fitted to codes.*or, if y is not yours"),
        (["p0", "p1"], "teacher_proba", "name its columns after the labels"),
    ],
)
def test_advice_for_no_class_in_common_fits_the_columns(known, name, advice):
    with pytest.raises(ValueError, match=advice):
        align(np.array([[0.5, 0.5]]), known, np.array(["x", "y"]), name=name)


def test_messages_stay_short_if_there_are_many_labels():
    p = np.full((1, 3000), 1 / 3000)
    with pytest.raises(ValueError, match="8, 9, ... 2990 more") as caught:
        align(p, np.arange(3000), np.arange(1, 3001))
    assert len(str(caught.value)) < 500


def test_the_number_of_columns_without_classes_must_be_that_of_labels():
    with pytest.raises(ValueError, match="2 columns for 3 classes"):
        align(np.array([[0.5, 0.5]]), None, np.arange(3))


def test_a_teacher_without_an_answer_has_no_weight_in_the_mean_of_a_row():
    one = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    two = np.array([[0.0, 1.0], [0.2, 0.8], [0.0, 0.0]])
    np.testing.assert_allclose(mix([one, two], [1, 3]), [[0.25, 0.75], [0.2, 0.8], [0, 0]])


def test_columns_of_a_table_have_names_or_default_names():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    letters, codes = np.array(["a", "b"]), np.array([0, 1])
    assert named_columns(np.eye(2), letters) is None
    assert named_columns(pd.DataFrame(np.eye(2)), letters) is None
    assert named_columns(pd.DataFrame(np.eye(2), columns=["b", "a"]), letters) == ["b", "a"]
    assert named_columns(pd.DataFrame(np.eye(2), columns=[1, 0]), codes) == [1, 0]
    assert named_columns(pd.DataFrame(np.eye(2), columns=["1", "0"]), codes) == [1, 0]
    assert named_columns(pl.DataFrame(np.eye(2)), letters) is None
    assert named_columns(pl.DataFrame(np.eye(3)), letters) is None  # too many, as in an array
    assert named_columns(pd.DataFrame(np.eye(3)), codes) == [0, 1, 2]  # a fold without class 2
    assert named_columns(pd.DataFrame(np.eye(2)), np.array([1, 2])) is None  # default names
    some = np.array([0, 1, 3])  # one of them is unknown to the teacher
    known = pd.DataFrame(np.eye(3), columns=np.arange(3))
    assert named_columns(known, some) == [0, 1, 2]
    assert named_columns(pd.DataFrame(np.eye(3)), some) is None  # like an array
    pa = pytest.importorskip("pyarrow")
    assert named_columns(pa.table({"b": [0.5], "a": [0.5]}), letters) == ["b", "a"]
    strangers = named_columns(pd.DataFrame(np.eye(2), columns=["c", "d"]), letters)
    with pytest.raises(ValueError, match=r"teacher_proba knows the classes \['c', 'd'\]"):
        align(np.eye(2), strangers, letters, name="teacher_proba")


def test_a_class_named_twice_is_refused():
    with pytest.raises(ValueError, match="teacher names a class twice"):
        align(np.full((1, 3), 1 / 3), ["a", "a", "b"], np.array(["a", "b"]))


def test_tensors_are_read_and_texts_refused():
    torch = pytest.importorskip("torch")
    p = torch.full((2, 2), 0.5, requires_grad=True)
    np.testing.assert_array_equal(check_probabilities(p, 2), np.full((2, 2), 0.5))
    with pytest.raises(ValueError, match="teacher_proba must give numbers"):
        check_probabilities([["a", "b"]], 1, name="teacher_proba")
