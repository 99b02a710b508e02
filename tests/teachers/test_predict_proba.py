import threading
import warnings

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.estimator_checks import _NotAnArray

from skkd.teachers.agreement import TeacherMismatchWarning, agreement_with
from skkd.teachers.cloning import fit_and_ask
from skkd.teachers.members import freeze, input_tags_of, is_fitted, members_of
from skkd.teachers.predict_proba import ask, ask_members

X, y = load_iris(return_X_y=True)


class Duck:
    """Only predict_proba and classes_."""

    classes_ = np.array([0, 1, 2])

    def predict_proba(self, X):
        return np.full((len(X), 3), 1 / 3)


class LogitModule(torch.nn.Module):
    """Dropout and BatchNorm: in training mode its output is random, and its state changes."""

    def __init__(self, n_outputs=3):
        super().__init__()
        self.linear = torch.nn.Linear(4, n_outputs)
        self.norm = torch.nn.BatchNorm1d(n_outputs)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.norm(self.linear(x)))


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


@pytest.mark.parametrize("members", [[], [Duck()], [(Duck(), 1, 2)]], ids=["none", "bare", "three"])
def test_a_list_must_hold_pairs(members):
    with pytest.raises(TypeError, match="a list of .teacher, weight. pairs"):
        members_of(members)


@pytest.mark.parametrize("members", [[("rf", Duck())], [(Duck(), "much")]], ids=["name", "text"])
def test_names_in_place_of_weights_are_refused(members):
    with pytest.raises(TypeError, match="weights above zero .not of .name, teacher"):
        members_of(members)
    assert is_fitted(members)  # so that `fit` raises the error
    assert input_tags_of(members).sparse


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_weights_of_teachers_must_be_above_zero(weight):
    with pytest.raises(ValueError, match="weights above zero"):
        members_of([(Duck(), weight)])


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


def test_a_good_teacher_that_never_predicts_a_rare_class_does_not_warn():
    codes = np.r_[np.zeros(970, int), np.ones(30, int)]
    p = 0.02 + 0.3 * codes
    assert agreement_with(np.c_[1 - p, p], codes) == pytest.approx(0.5)


def test_a_teacher_that_predicts_one_of_balanced_classes_warns():
    draw = np.random.default_rng(0)
    codes = np.arange(300) % 3
    p = np.full((300, 3), [0.8, 0.15, 0.05])
    p[np.arange(300), codes] += 0.01 * draw.random(300)
    with pytest.warns(TeacherMismatchWarning):
        agreement_with(p, codes)


def test_agreement_counts_rows_by_their_weights():
    codes = np.r_[np.arange(60) % 2, np.arange(60) % 2]
    p = np.eye(2)[np.r_[codes[:60], 1 - codes[60:]]]
    assert agreement_with(p, codes, np.repeat([1.0, 0.0], 60)) == 1
    assert agreement_with(p, codes, np.repeat([3.0, 1.0], 60)) == pytest.approx(0.75)
    assert np.isnan(agreement_with(p, codes, np.zeros(120)))


def test_few_rows_never_warn():
    assert agreement_with(np.full((20, 2), 0.5), np.arange(20) % 2) == pytest.approx(0.5)


def test_the_warning_gives_other_advice_if_the_teacher_was_fitted_on_these_rows():
    with pytest.warns(TeacherMismatchWarning, match="fitted on these rows"):
        agreement_with(np.full((300, 2), 0.5), np.arange(300) % 2, was_fitted_on_rows=True)


@pytest.mark.parametrize("missing", [False, True])
def test_agreement_is_scikit_learns_balanced_accuracy(missing):
    from sklearn.metrics import balanced_accuracy_score

    draw = np.random.default_rng(0)
    codes = draw.integers(0, 4, 200) + missing
    p = draw.dirichlet(np.ones(5), 200) + np.eye(5)[codes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = balanced_accuracy_score(codes, p.argmax(axis=1))
    assert agreement_with(p, codes) == pytest.approx(expected)


def test_a_call_without_progress_starts_no_thread():
    before = threading.active_count()
    ask(Duck(), X, batch_size=10)
    assert threading.active_count() == before


def test_a_teacher_at_chance_level_warns():
    chance = np.full((300, 3), 1 / 3)
    with pytest.warns(TeacherMismatchWarning, match="no more than chance"):
        assert agreement_with(chance, np.arange(300) % 3) == pytest.approx(1 / 3)


def test_balanced_accuracy_does_not_warn_of_a_teacher_of_rare_classes():
    codes = np.r_[np.zeros(95, int), np.ones(5, int)]
    first_choice = np.r_[np.ones(30, int), np.zeros(65, int), np.ones(5, int)]
    assert agreement_with(np.eye(2)[first_choice], codes) > 0.8


@pytest.mark.parametrize(
    "teacher",
    [
        LogisticRegression(max_iter=1000).fit(X, y),
        [(LogisticRegression(max_iter=1000).fit(X, y), 1.0)],
        ask,
        LogitModule(),
    ],
    ids=["estimator", "list", "function", "module"],
)
def test_a_frozen_teacher_is_shared_by_clone(teacher):
    assert clone(freeze(teacher)).estimator is teacher
    assert freeze(freeze(teacher)).estimator is teacher


FITTED = LogisticRegression(max_iter=1000).fit(X, y)


@pytest.mark.parametrize(
    ("teacher", "answers"),
    [
        (LogisticRegression(), False),
        (FITTED, True),
        (FrozenEstimator(LogisticRegression()), True),  # because the user has frozen it
        (Duck(), True),
        (len, True),
        ([(FITTED, 1), (Duck(), 1)], True),
        ([(FITTED, 1), (LogisticRegression(), 1)], False),
    ],
)
def test_is_fitted_is_true_for_teachers_that_can_predict(teacher, answers):
    assert is_fitted(teacher) is answers


def test_a_fitted_clone_leaves_the_teacher_alone_and_is_seeded():
    teacher = RandomForestClassifier(3)
    fitted, _ = fit_and_ask(FrozenEstimator(teacher), X, y, None, seed=7)
    again, _ = fit_and_ask(FrozenEstimator(teacher), X, y, None, seed=7, remember=False)
    assert fitted.random_state == again.random_state
    assert fitted.random_state is not None
    assert teacher.random_state is None
    with pytest.raises(NotFittedError):
        teacher.predict(X)


def test_seeds_of_the_teacher_itself_are_kept_and_steps_are_seeded():
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(3))
    assert fit_and_ask(pipeline, X, y, None, seed=7)[0][-1].random_state is not None
    pipeline.set_params(randomforestclassifier__random_state=1)
    assert fit_and_ask(pipeline, X, y, None, seed=7)[0][-1].random_state == 1


def test_members_of_an_ensemble_have_seeds_of_their_own():
    forest = RandomForestClassifier(3)
    fitted, _ = fit_and_ask([(forest, 1), (forest, 1)], X, y, None, seed=0)
    assert fitted[0][0].random_state != fitted[1][0].random_state
    vote = VotingClassifier([("a", forest), ("b", forest)], voting="soft")
    members = fit_and_ask(vote, X, y, None, seed=0)[0].estimators_
    assert members[0].random_state != members[1].random_state


def test_every_teacher_of_a_list_is_fitted():
    teachers = [(RandomForestClassifier(3), 2), (LogisticRegression(max_iter=1000), 1)]
    fitted, soft_labels = fit_and_ask(teachers, X, y, None, seed=0)
    assert [weight for _, weight in fitted] == [o.weight for o in soft_labels] == [2, 1]
    np.testing.assert_allclose(
        soft_labels[1].probabilities, fitted[1][0].predict_proba(X), rtol=1e-12
    )


def test_weights_reach_a_teacher_that_takes_them():
    weights = 1.0 + 5 * (y == 1)
    fitted, _ = fit_and_ask(LogisticRegression(max_iter=1000), X, y, weights, seed=0)
    by_hand = LogisticRegression(max_iter=1000, random_state=0).fit(X, y, weights)
    np.testing.assert_allclose(fitted.coef_, by_hand.coef_)


def test_weights_reach_the_last_step_of_a_pipeline():
    weights = 1.0 + 5 * (y == 1)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    fitted, _ = fit_and_ask(pipeline, X, y, weights, seed=0)
    by_hand = clone(pipeline).fit(X, y, logisticregression__sample_weight=weights)
    np.testing.assert_allclose(fitted[-1].coef_, by_hand[-1].coef_)


def mean_of_class_1(teacher, weights):
    fitted, _ = fit_and_ask(teacher, X, y, weights, seed=0)
    return fitted.predict_proba(X)[:, 1].mean()


@pytest.mark.parametrize("kind", ["voting", "stacking", "nested"])
def test_weights_reach_all_members_of_an_ensemble(kind):
    pairs = [("linear", LogisticRegression(max_iter=1000)), ("left", "drop")]
    teacher = VotingClassifier(pairs, voting="soft")
    if kind == "stacking":
        teacher = StackingClassifier(pairs, cv=2)
    elif kind == "nested":
        teacher = VotingClassifier([("inner", teacher)], voting="soft")
    weights = 1.0 + 50 * (y == 1)
    assert mean_of_class_1(teacher, weights) > mean_of_class_1(teacher, None) + 0.05


@pytest.mark.parametrize(
    "teacher",
    [
        KNeighborsClassifier(),
        VotingClassifier([("a", LogisticRegression()), ("b", KNeighborsClassifier())]),
        StackingClassifier([("a", LogisticRegression())], KNeighborsClassifier()),
        TunedThresholdClassifierCV(LogisticRegression()),
        RFECV(LogisticRegression(max_iter=1000)),
    ],
    ids=lambda teacher: type(teacher).__name__,
)
def test_a_teacher_that_takes_no_weights_warns(teacher):
    name = type(teacher).__name__
    with pytest.warns(UserWarning, match=f"{name}, takes no sample_weight"):
        fit_and_ask(teacher, X[:100], y[:100], 1.0 + y[:100], seed=0, asks=False)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"knn": KNeighborsClassifier()}, r"nor does its knn, a KNeighborsClassifier\)"),
        (
            {"linear": make_pipeline(StandardScaler(), LogisticRegression())},
            "nor does its linear, a Pipeline: put its other steps in front of the VotingClassifier",
        ),
    ],
    ids=["neighbours", "pipeline"],
)
def test_the_part_that_takes_no_weights_is_named(members, message):
    vote = VotingClassifier(list(members.items()), voting="soft")
    with pytest.warns(UserWarning, match=message):
        fit_and_ask(make_pipeline("passthrough", vote), X, y, 1.0 + y, seed=0, asks=False)


def test_without_asks_the_teacher_does_not_predict():
    class Silent(LogisticRegression):
        def predict_proba(self, X):
            raise AssertionError("asked")

    _, (labels_of_one,) = fit_and_ask(Silent(max_iter=1000), X, y, None, seed=0, asks=False)
    assert len(labels_of_one.probabilities) == 0
    with pytest.raises(AssertionError, match="asked"):
        fit_and_ask(Silent(max_iter=1000), X, y, None, seed=0)


@pytest.mark.parametrize("routing", [False, True])
def test_weights_reach_the_estimator_inside_of_a_search(routing):
    weights = 1.0 + 5 * (y == 1)
    with config_context(enable_metadata_routing=routing):
        scaler, linear = StandardScaler(), LogisticRegression(random_state=0)
        scorer = get_scorer("accuracy")
        if routing:
            scaler.set_fit_request(sample_weight=False)
            linear.set_fit_request(sample_weight=True)
            scorer = scorer.set_score_request(sample_weight=True)
        search = GridSearchCV(make_pipeline(scaler, linear), {}, cv=2, scoring=scorer)
        fitted, _ = fit_and_ask(search, X, y, weights, seed=0)
    by_hand = make_pipeline(StandardScaler(), LogisticRegression(random_state=0))
    by_hand.fit(X, y, logisticregression__sample_weight=weights)
    np.testing.assert_allclose(fitted.best_estimator_[-1].coef_, by_hand[-1].coef_)


@pytest.mark.parametrize("teacher", [ask, Duck()], ids=["function", "duck"])
def test_teachers_that_cannot_be_fitted_are_refused(teacher):
    with pytest.raises(ValueError, match="fit_teacher=False"):
        fit_and_ask(teacher, X, y, None, seed=0)


def test_tags_are_those_that_all_teachers_share():
    assert not input_tags_of(LogisticRegression()).allow_nan
    assert input_tags_of(RandomForestClassifier()).allow_nan
    assert not input_tags_of([(RandomForestClassifier(), 1), (LogisticRegression(), 1)]).allow_nan
    assert input_tags_of(Duck()).sparse
