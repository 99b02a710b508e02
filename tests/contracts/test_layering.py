"""Imports run downwards only, and torch waits until it is needed."""

import ast
import functools
import inspect
import pickle
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

import skkd
from skkd import DistilledClassifier, NeuralClassifier

PACKAGE = Path(skkd.__file__).parent

#: From the bottom up: the folders and files of each line of the list in skkd's docstring.
LAYERS = [
    line.strip().partition("  ")[0].split()
    for line in skkd.__doc__.splitlines()
    if line.startswith("    ")
]

#: Imports inside of a function that reach upwards: (from, to).
LATE_UPWARDS = {("inference", "modules")}  # a fitted network as a torch module, on request

#: Files that import torch: all others wait for a fit, or do without.
WITH_TORCH = {
    "modules",
    "runtime",
    "training.backprop",
    "training.batches",
    "training.criteria",
    "training.fit",
    "training.loop",
    "training.optimizers",
    "training.softmax_check",
}

#: Files by dotted name, without "skkd.".
FILES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
}


def layer_of(name):
    """The height of a file's layer, by its dotted name."""
    top = name.split(".")[0]
    for height, layer in enumerate(LAYERS):
        if top in layer:
            return height
    raise AssertionError(f"{top} is not in the list of skkd/__init__.py: give it a line.")


def imports_of(path):
    """(dotted name, whether it waits for a call) of each import of a file.

    Those for types alone wait for ever.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            late.update(id(inner) for inner in ast.walk(node))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            late.update(id(inner) for inner in ast.walk(node))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in late
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            if node.module == "skkd":
                for alias in node.names:
                    if alias.name != "__version__":
                        yield f"skkd.{alias.name}", id(node) in late
            else:
                yield node.module, id(node) in late


def libraries_of(path, late):
    return {name.split(".")[0] for name, is_late in imports_of(path) if late or not is_late}


def test_the_list_names_what_is_there_and_nothing_else():
    listed = [name for layer in LAYERS for name in layer]
    assert len(listed) > 10
    assert sorted(listed) == sorted({name.split(".")[0] for name in FILES})


@pytest.mark.parametrize("name", sorted(FILES))
def test_imports_run_downwards(name):
    for imported, is_late in imports_of(FILES[name]):
        if not imported.startswith("skkd."):
            continue
        top, its_top = name.split(".")[0], imported.split(".")[1]
        if top == its_top or (is_late and (top, its_top) in LATE_UPWARDS):
            continue
        assert layer_of(its_top) <= layer_of(top), f"{FILES[name]} imports {imported}"


def test_files_of_a_folder_import_each_other_in_one_direction():
    below = {
        name: {i.removeprefix("skkd.") for i, late in imports_of(path) if not late} & FILES.keys()
        for name, path in FILES.items()
    }
    below = {name: found - {name.split(".")[0]} for name, found in below.items()}
    assert list(TopologicalSorter(below).static_order())  # CycleError names the files


@pytest.mark.parametrize("name", sorted(FILES.keys() - WITH_TORCH))
def test_knows_no_torch_at_module_level(name):
    assert not libraries_of(FILES[name], late=False) & {"torch", "skorch"}


def test_only_the_training_loop_imports_skorch():
    users = [name for name, path in FILES.items() if "skorch" in libraries_of(path, late=True)]
    assert users == ["training.loop"]


# ---- what is handed down -------------------------------------------------------------------

#: Parameters that may come from further up: what the training loop calls before and after an
#: epoch; what `call_protected` calls with data that it cannot change; and what a Dataset carries,
#: and never calls, from the transfer set to the training above it.
HOOKS = {"on_epoch", "before_epoch", "function", "fresh_rows"}

#: scikit-learn's validate_data keeps columns in an estimator: the functions that hand it on.
VALIDATION = {"check_rows", "_read_rows", "_read_table", "_validated"}


def parameters_of_functions(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield node.name, {argument.arg for argument in arguments}


@pytest.mark.parametrize("name", sorted(n for n in FILES if not n.startswith("estimators")))
def test_nothing_below_the_estimators_takes_an_estimator_or_a_student(name):
    for function, parameters in parameters_of_functions(FILES[name]):
        if name == "data.validation" and function in VALIDATION:
            parameters -= {"estimator"}
        assert not parameters & {"estimator", "student"}, f"{function} of {FILES[name]}"


def module_that_made(thing):
    """Where the code of an object, a bound method, a partial or a function is; or None.

    Layers of torch are known by what they inherit, wherever they were made.
    """
    if isinstance(thing, torch.nn.Module):
        return "torch"
    if isinstance(thing, functools.partial):
        return module_that_made(thing.func)
    thing = getattr(thing, "__self__", thing)
    made_by = thing if inspect.isfunction(thing) or inspect.isclass(thing) else type(thing)
    return getattr(made_by, "__module__", None)


def handed_down_too_far(call):
    """Each call of a function of skkd with an argument that is made further up."""
    found = set()
    layers = {}

    def layer(module):
        if module not in layers:
            is_ours = isinstance(module, str) and module.startswith("skkd.")
            layers[module] = layer_of(module.removeprefix("skkd.")) if is_ours else -1
        return layers[module]

    def watch(frame, event, argument):
        module = frame.f_globals.get("__name__", "")
        if event != "call" or not module.startswith("skkd."):
            return
        code = frame.f_code
        for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            is_validated = code.co_name in VALIDATION and name == "estimator"
            if name in HOOKS or is_validated or name not in frame.f_locals:
                continue
            made_in = module_that_made(frame.f_locals[name])
            if layer(made_in) > layer(module):
                found.add(f"{module}.{code.co_qualname}: {name}, of {made_in}")

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return found


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": "munge", "augment_size": "fresh", "alpha": 0.5},
        {"fit_teacher": True, "verbose": 1},
        {"soft_labels": "out_of_fold", "early_stopping": True},
    ],
    ids=["fresh rows", "clones of the teacher", "out of fold"],
)
def test_no_object_is_handed_down_whose_class_lives_further_up(settings):
    random_state = np.random.RandomState(0)
    X = random_state.standard_normal((240, 3))
    teacher = DecisionTreeClassifier(max_depth=2, random_state=0).fit(X, X[:, 0] > 0)
    params = {"hidden_layer_sizes": (4,), "max_epochs": 2, "random_state": 0} | settings
    student = DistilledClassifier(teacher, **params)
    assert handed_down_too_far(lambda: student.fit(X, X[:, 0] > 0)) == set()
    assert handed_down_too_far(lambda: student.predict_proba(X)) == set()


def test_what_is_handed_down_too_far_is_found():
    from skkd.checks import is_auto
    from skkd.estimators.options import set_options

    found = handed_down_too_far(lambda: is_auto(set_options))
    assert found == {"skkd.checks.is_auto: value, of skkd.estimators.options"}


def functions_on_the_stack(module):
    frame, found = sys._getframe(1), set()
    while frame is not None:
        if frame.f_globals.get("__name__") == module:
            found.add(frame.f_code.co_name)
        frame = frame.f_back
    return found


def test_no_teacher_is_asked_while_a_batch_is_drawn():
    asked_while = []

    class Watches:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            asked_while.append(functions_on_the_stack("skkd.training.batches"))
            return np.full((len(X), 2), 0.5) + [[0.1, -0.1]] * np.sign(np.asarray(X)[:, :1])

    X = np.random.RandomState(0).standard_normal((60, 3))
    settings = {"augment": "munge", "augment_size": "fresh", "alpha": 0.5, "max_epochs": 3}
    settings |= {"hidden_layer_sizes": (4,), "random_state": 0}
    DistilledClassifier(Watches(), **settings).fit(X, X[:, 0] < 0)
    assert len(asked_while) == 1 + 3
    assert "begin_pass" in asked_while[-1]
    for functions in asked_while:
        assert not {"__iter__", "next_pass", "take"} & functions


def run(code, *arguments):
    """Run code in a fresh process; what it prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


LOADED = "print(*[name for name in ('numpy', 'sklearn', 'skorch', 'torch') if name in sys.modules])"


def test_torch_waits_for_fit():
    code = f"""
import sys
from skkd import NeuralClassifier
classifier = NeuralClassifier((8,), lr_decay="cosine", init="he_normal", max_epochs=2)
classifier.get_params()
repr(classifier)
{LOADED}
classifier.fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
{LOADED}
"""
    assert run(code) == ["numpy", "sklearn", "numpy", "sklearn", "skorch", "torch"]


def test_a_pickled_classifier_predicts_without_torch(tmp_path, iris_like):
    X, y = iris_like
    classifier = NeuralClassifier((8,), batch_norm=True, max_epochs=2, random_state=0).fit(X, y)
    path = tmp_path / "classifier.pickle"
    path.write_bytes(pickle.dumps((classifier, X)))
    code = f"""
import pathlib, pickle, sys
classifier, X = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
classifier.predict(X), classifier.predict_proba(X)
{LOADED}
"""
    assert run(code, path) == ["numpy", "sklearn"]


def test_a_pickled_predictor_takes_rows_without_torch(tmp_path, iris_like_table):
    table, y = iris_like_table
    predictor = NeuralClassifier((8,), max_epochs=2, random_state=0).fit(table, y).predictor()
    row = {"length": 1, "width": None, "depth": 0.1, "noise": 0, "colour": "red", "big": True}
    path = tmp_path / "predictor.pickle"
    path.write_bytes(pickle.dumps((predictor, row)))
    code = f"""
import pathlib, pickle, sys
predictor, row = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
predictor(row), predictor([tuple(row.values())])
{LOADED}
"""
    assert run(code, path) == ["numpy", "sklearn"]


def test_importing_the_package_imports_nothing_until_a_name_is_touched():
    code = f"""
import sys, skkd
assert set(skkd.__all__) <= set(dir(skkd))
{LOADED}
print(skkd.losses.entropy.__module__, skkd.NeuralClassifier.__module__)
for name in skkd.__all__:
    getattr(skkd, name)
"""
    assert run(code) == ["skkd.losses", "skkd.estimators.neural"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'skkd' has no attribute 'nothing'"):
        _ = skkd.nothing
