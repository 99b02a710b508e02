"""How each kind of teacher is asked for probabilities."""

import threading

import numpy as np
import pytest
import torch
from scipy import sparse
from simple_teachers import Duck, LogitModule
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import _NotAnArray

from skkd.teachers.cloning import fit_and_ask
from skkd.teachers.members import freeze
from skkd.teachers.predict_proba import ask, ask_members

X, y = load_iris(return_X_y=True)


@pytest.mark.parametrize(
    "teacher",
    [
        RandomForestClassifier(5, random_state=0),
        LogisticRegression(max_iter=1000),
        make_pipeline(StandardScaler(), LogisticRegression()),
        SVC(),
        RidgeClassifier(),
    ],
    ids=lambda teacher: type(teacher).__name__,
)
def test_any_fitted_classifier_answers_with_probabilities(teacher):
    proba, classes = ask(clone(teacher).fit(X, y), X)
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    assert (classes == [0, 1, 2]).all()
    assert (proba.argmax(axis=1) == y).mean() > 0.8


def test_binary_scores_are_log_odds():
    teacher = SVC().fit(X[:100], y[:100])
    proba, _ = ask(teacher, X[:100])
    odds = np.log(proba[:, 1] / proba[:, 0])
    np.testing.assert_allclose(odds, teacher.decision_function(X[:100]), atol=1e-9)


def test_one_vs_one_scores_are_refused():
    four = np.arange(len(y)) % 4
    teacher = SVC(decision_function_shape="ovo").fit(X, four)
    with pytest.raises(ValueError, match="6 scores for 4 classes .one-vs-one"):
        ask(teacher, X)


OF_PAIRS = SVC(decision_function_shape="ovo")


SEARCHED = GridSearchCV(SVC(), {"decision_function_shape": ["ovo"]}, cv=2)


@pytest.mark.parametrize(
    "teacher",
    [
        OF_PAIRS,
        make_pipeline(StandardScaler(), OF_PAIRS),
        SEARCHED,
        make_pipeline(SEARCHED),
        make_pipeline(FrozenEstimator(clone(OF_PAIRS).fit(X, y))),
    ],
    ids=["alone", "pipeline", "search", "search in a pipeline", "frozen in a pipeline"],
)
def test_one_vs_one_scores_of_three_classes_are_refused(teacher):
    with pytest.raises(ValueError, match="3 scores for 3 classes .one-vs-one"):
        ask(clone(teacher).fit(X, y), X)


def test_estimators_that_use_one_vs_one_scores_inside_are_accepted():
    teacher = OneVsRestClassifier(OF_PAIRS).fit(X, y)
    assert (ask(teacher, X)[0].argmax(axis=1) == y).mean() > 0.9


@pytest.mark.parametrize("batch_size", [None, 40])
def test_several_outputs_are_refused(batch_size):
    teacher = RandomForestClassifier(2).fit(X, np.column_stack([y, y]))
    with pytest.raises(ValueError, match="one output"):
        ask(teacher, X, batch_size=batch_size)


@pytest.mark.parametrize("shape", [(150,), (150, 1)])
def test_one_number_per_row_is_refused(shape):
    with pytest.raises(ValueError, match=r"teacher must give one probability per row and class"):
        ask(lambda rows: np.full(shape, 0.5), X)


def test_batches_of_an_array_like():
    teacher = KNeighborsClassifier().fit(X, y)
    proba, _ = ask(teacher, _NotAnArray(X), batch_size=40)
    np.testing.assert_array_equal(proba, teacher.predict_proba(X))


def test_a_function_and_a_duck_answer_too():
    assert ask(lambda rows: np.full((len(rows), 2), 0.5), X)[1] is None
    assert ask(Duck(), X)[0].shape == (150, 3)


def test_a_torch_module_answers_with_the_softmax_of_its_logits_in_eval_mode():
    torch.manual_seed(0)
    module = LogitModule()
    module.linear.eval()  # one part in eval mode, the others in training mode
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    proba, classes = ask(module, X)
    assert classes is None
    assert [part.training for part in module.modules()] == [True, False, True, True]
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])
    logits = module.eval()(torch.tensor(X, dtype=torch.float32))
    expected = torch.softmax(logits.double(), dim=1).detach().numpy()
    np.testing.assert_allclose(proba, expected, atol=1e-7)


def test_a_torch_module_takes_rows_of_any_kind():
    pd = pytest.importorskip("pandas")
    module = LogitModule().double()
    expected = ask(module, X)[0]
    for rows in (X.tolist(), sparse.csr_array(X), pd.DataFrame(X), X.astype(">f8"), X[:, :]):
        np.testing.assert_allclose(ask(module, rows)[0], expected, atol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_a_torch_module_must_give_a_logit_per_class(n_outputs):
    module = LogitModule(n_outputs)
    if n_outputs == 1:
        with pytest.raises(ValueError, match="one logit per class.*Two classes need two logits"):
            ask(module, X)
    else:
        assert ask(module, X)[0].shape == (150, 2)


def test_a_torch_module_that_ends_in_a_softmax_is_refused():
    module = torch.nn.Sequential(LogitModule(3), torch.nn.Softmax(dim=1))
    with pytest.raises(ValueError, match="probabilities where logits are wanted"):
        ask(module, X)
    log_softmax = torch.nn.Sequential(module[0], torch.nn.LogSoftmax(dim=1))
    np.testing.assert_allclose(ask(log_softmax, X)[0], ask(module[0], X)[0], atol=1e-6)


@pytest.mark.parametrize("teacher", [StandardScaler().fit(X), 3, None, "forest"], ids=str)
def test_objects_that_cannot_predict_are_refused(teacher):
    with pytest.raises(TypeError, match="teacher=.*predict_proba"):
        ask(teacher, X)


def test_errors_of_the_teacher_have_a_note():
    forest = RandomForestClassifier(3, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="expecting 4 features") as caught:
        ask(forest, X[:, :2])
    assert (
        "Raised by teacher, a RandomForestClassifier, asked about a ndarray of shape (150, 2)"
        in (caught.value.__notes__[0])
    )
    with pytest.raises(ValueError, match="could not convert") as caught:
        fit_and_ask(forest, [["a"], ["b"]] * 3, [0, 1] * 3, None, seed=0)
    assert caught.value.__notes__ == ["Raised by fit of teacher, a RandomForestClassifier."]


def test_a_class_is_no_teacher():
    with pytest.raises(TypeError, match="not its class"):
        ask(RandomForestClassifier, X)


def test_batches_give_the_same_answers_as_one_call():
    teacher = RandomForestClassifier(5, random_state=0).fit(X, y)
    sizes = []

    def spy(rows):
        sizes.append(len(rows))
        return teacher.predict_proba(rows)

    np.testing.assert_allclose(ask(spy, X, batch_size=40)[0], teacher.predict_proba(X), rtol=1e-12)
    assert sizes == [40, 40, 40, 30]


def rows_of_any_library(rows):
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    return [rows, rows.tolist(), sparse.csr_array(rows), pd.DataFrame(rows), pl.DataFrame(rows)]


def test_batches_can_be_taken_of_any_rows():
    for rows in rows_of_any_library(X):
        kinds = []

        def spy(batch, kinds=kinds):
            kinds.append(type(batch))
            return np.full((len(batch) if isinstance(batch, list) else batch.shape[0], 2), 0.5)

        ask(spy, rows, batch_size=100)
        assert kinds == [type(rows)] * 2


def test_progress_shows_the_rows_asked_about(capsys):
    ask(Duck(), X, batch_size=50, progress=True)
    shown = capsys.readouterr().err
    assert "teacher" in shown and "150/150" in shown
    ask(Duck(), X, batch_size=50)
    assert capsys.readouterr().err == ""


def lightgbm_on(table):
    lightgbm = pytest.importorskip("lightgbm")
    return lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(table, y)


def test_lightgbm_on_columns_in_another_order_is_caught():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=["a", "b b", "c", "d"])
    teacher = lightgbm_on(table)
    assert ask(teacher, table)[0].shape == (150, 3)
    for other in (table[["d", "c", "b b", "a"]], table.rename(columns={"a": "z"})):
        with pytest.raises(ValueError, match="LGBMClassifier, was fitted on the columns"):
            ask(teacher, other)


def test_lightgbm_is_checked_by_the_names_of_pyarrow_columns():
    pa, pd = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcd"))
    teacher = lightgbm_on(table)
    proba, _ = ask(teacher, pa.table(table))
    np.testing.assert_array_equal(proba, ask(teacher, table)[0])
    with pytest.raises(ValueError, match="LGBMClassifier, was fitted on the columns"):
        ask(teacher, pa.table(table[list("dcba")]))


def test_lightgbm_inside_of_an_ensemble_is_caught_too():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcd"))
    vote = VotingClassifier([("boosted", lightgbm_on(table))], voting="soft").fit(table, y)
    with pytest.raises(ValueError, match="takes columns by their position"):
        ask(vote, table[list("dcba")])


@pytest.mark.parametrize("wrap", ["search", "pipeline"])
def test_lightgbm_inside_of_a_search_or_a_pipeline_is_caught_too(wrap):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcd"))
    teacher = lightgbm_on(table)
    if wrap == "search":
        teacher = GridSearchCV(teacher, {}, cv=2)
    else:
        teacher = make_pipeline("passthrough", teacher)
    teacher.fit(table, y)
    assert ask(teacher, table)[0].shape == (150, 3)
    with pytest.raises(ValueError, match="takes columns by their position"):
        ask(teacher, table[list("dcba")])


def test_columns_behind_a_transformer_are_not_checked_for_lightgbm():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=list("abcd"))
    first = ColumnTransformer([("kept", "passthrough", list("abcd"))])
    teacher = make_pipeline(first, lightgbm_on(table)).fit(table, y)
    np.testing.assert_allclose(ask(teacher, table[list("dcba")])[0], ask(teacher, table)[0])


def test_lightgbm_fitted_on_an_array_has_no_names_to_check():
    pd = pytest.importorskip("pandas")
    teacher = lightgbm_on(X)
    assert ask(teacher, pd.DataFrame(X, columns=list("abcd")))[0].shape == (150, 3)


def test_each_teacher_of_a_list_has_its_own_soft_labels():
    one = RandomForestClassifier(3, random_state=0).fit(X, y)
    two = FrozenEstimator(LogisticRegression(max_iter=1000).fit(X, y))
    soft_labels = ask_members(freeze([(one, 2), (two, 0.5)]), X)
    assert [labels_of_one.weight for labels_of_one in soft_labels] == [2, 0.5]
    np.testing.assert_allclose(soft_labels[1].probabilities, two.predict_proba(X), rtol=1e-12)


def test_a_table_of_answers_gives_the_classes_of_its_columns():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(np.eye(3)[y], columns=["cat", "ape", "bee"])
    assert list(ask(lambda rows: table, X)[1]) == ["cat", "ape", "bee"]


def test_a_duck_in_training_mode_is_asked_as_it_is():
    duck = Duck()
    duck.net = LogitModule()
    modes = []
    duck.predict_proba = lambda rows: modes.append(duck.net.training) or np.eye(3)[y]
    ask(duck, X)
    assert modes == [True]


def test_a_call_without_progress_starts_no_thread():
    before = threading.active_count()
    ask(Duck(), X, batch_size=10)
    assert threading.active_count() == before
