"""Imports run downwards only, and torch waits until it is needed."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import skkd
from skkd import NeuralClassifier

PACKAGE = Path(skkd.__file__).parent

#: From the bottom up. A module imports from its own layer and from those below it.
LAYERS = [
    {"parameters", "tables", "losses", "network", "soft_labels", "fingerprints"},
    {"answers", "protected_data"},
    {"schedules", "initializers", "columns", "heavy_tails", "scaling", "encodings", "transfer"},
    {
        "calibration",
        "criteria",
        "epochs",
        "examples",
        "inputs",
        "isolation",
        "module_network",
        "modules",
        "optimizers",
        "preprocessing",
        "presets",
        "progress",
        "settings",
        "sklearn_callbacks",
        "teacher_cache",
        "teachers",
        "tree_thresholds",
    },
    {"backprop", "batches", "candidates", "predictor", "task", "transfer_set", "views"},
    {"out_of_bag", "out_of_fold", "teacher_fitting"},
    {"predictions", "race", "training"},
    {"fitting"},
    {"choosing"},
    {"planning"},
    {"neural", "teaching"},
    {"hearing"},
    {"distilled"},
]

#: Imports inside of a function that reach upwards: (from, to).
LATE_UPWARDS = {("network", "modules")}  # a fitted network as a torch module, for who asks

WITHOUT_TORCH = [
    "answers",
    "calibration",
    "candidates",
    "choosing",
    "distilled",
    "encodings",
    "epochs",
    "examples",
    "fingerprints",
    "hearing",
    "inputs",
    "neural",
    "network",
    "out_of_bag",
    "out_of_fold",
    "parameters",
    "planning",
    "predictions",
    "predictor",
    "preprocessing",
    "presets",
    "protected_data",
    "race",
    "scaling",
]
WITHOUT_TORCH += [
    "initializers",
    "schedules",
    "settings",
    "sklearn_callbacks",
    "soft_labels",
    "tables",
    "task",
    "teacher_cache",
    "teacher_fitting",
    "teachers",
    "teaching",
    "transfer",
    "transfer_set",
    "tree_thresholds",
    "views",
]

#: Files by module; those of a package count as one module.
FILES = {path.stem: [path] for path in PACKAGE.glob("*.py") if path.stem != "__init__"}
FILES |= {
    path.parent.name: sorted(path.parent.glob("*.py")) for path in PACKAGE.glob("*/__init__.py")
}
MODULES = sorted(FILES)


def layer_of(module):
    for height, layer in enumerate(LAYERS):
        if module in layer:
            return height
    raise AssertionError(f"skkd/{module}.py has no place in LAYERS yet: give it one.")


def imports_of(module):
    """(dotted name, whether it is imported inside of a function) of each import."""
    for path in FILES[module]:
        yield from imports_of_file(path)


def imports_of_file(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
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


def libraries_of(module, late):
    return {name.split(".")[0] for name, is_late in imports_of(module) if late or not is_late}


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downwards(module):
    for name, is_late in imports_of(module):
        if not name.startswith("skkd."):
            continue
        imported = name.split(".")[1]
        if is_late and (module, imported) in LATE_UPWARDS:
            continue
        assert layer_of(imported) <= layer_of(module), f"skkd/{module}.py imports {name}"


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_knows_no_torch_at_module_level(module):
    assert not libraries_of(module, late=False) & {"torch", "skorch"}


def test_only_training_imports_skorch():
    users = [module for module in MODULES if "skorch" in libraries_of(module, late=True)]
    assert users == ["training"]


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


def test_importing_the_package_imports_nothing_until_a_name_is_touched():
    code = f"""
import sys, skkd
assert set(skkd.__all__) <= set(dir(skkd))
{LOADED}
print(skkd.losses.entropy.__module__, skkd.NeuralClassifier.__module__)
for name in skkd.__all__:
    getattr(skkd, name)
"""
    assert run(code) == ["skkd.losses", "skkd.neural"]


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'skkd' has no attribute 'nothing'"):
        _ = skkd.nothing
