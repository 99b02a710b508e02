"""Exported C answers like the classifier, and asks little of compiler and machine."""

import ctypes
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from exported_cases import CASES, classifier, fitted, numbers
from sklearn.datasets import load_iris

import skkd
from skkd import NeuralClassifier
from skkd.exporting.c import compiler as c_compiler
from skkd.exporting.c import write as c
from skkd.exporting.c.compiler import compiler, rows_of_c
from skkd.exporting.formats import FORMATS
from skkd.exporting.rows import draw_rows, read_rows
from skkd.exporting.runners import NetworkRunner
from skkd.exporting.verify import TOLERANCES, verify

pytestmark = pytest.mark.skipif(
    not (os.environ.get("CC") or any(map(shutil.which, c_compiler.COMPILERS))),
    reason="there is no C compiler",
)

DOCS = Path(__file__).parents[2] / "docs" / "guide"

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow")


def compiled(folder, *arguments):
    """Run the C compiler in a folder, and return what it prints."""
    command = [*compiler(), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


# ---- predictions -----------------------------------------------------------------------------


WRAPPER = """
#include "case{i}.h"
int run{i}(const {real} *x, {real} *probabilities);
int run{i}(const {real} *x, {real} *probabilities) {{ return case{i}_predict(x, probabilities); }}
"""


class Compiled:
    """Calls a function that takes one row."""

    def __init__(self, function, schema, dtype):
        function.argtypes = [ctypes.c_void_p] * 2
        self.function, self.schema, self.dtype = function, schema, dtype

    def run(self, rows):
        x = rows_of_c(self.schema, rows, self.dtype)
        probabilities = np.empty((len(x), len(self.schema.classes)), self.dtype)
        pairs = zip(x, probabilities, strict=True)
        label = [self.function(row.ctypes.data, p.ctypes.data) for row, p in pairs]
        return self.schema.classes[label], probabilities


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_every_kind_of_classifier_answers_alike_and_all_fit_into_one_program(dtype, tmp_path):
    cases = [case for case in CASES if case != "default network"]  # which is exported below
    real = "float" if dtype == "float32" else "double"
    for i, case in enumerate(cases):
        content = c.write_header_only(fitted(case)[0].network_, dtype, f"case{i}_")
        (tmp_path / f"case{i}.h").write_bytes(content)
    text = "".join(WRAPPER.format(i=i, real=real) for i in range(len(cases)))
    (tmp_path / "all.c").write_text(text)
    compiled(tmp_path, *STRICT, "-O0", "-shared", "-fPIC", "all.c", "-o", "all.so", "-lm")
    program = ctypes.CDLL(str(tmp_path / "all.so"))
    for i, case in enumerate(cases):
        network, X = fitted(case)[0].network_, fitted(case)[1]
        schema = network.schema
        file = Compiled(getattr(program, f"run{i}"), schema, dtype)
        for rows in (draw_rows(network.preprocessor, schema), read_rows(schema, X, "X")):
            assert verify(NetworkRunner(network, schema), file, rows, dtype) <= TOLERANCES[dtype]


@pytest.mark.parametrize(
    ("case", "ending"), [("default network", ".c"), ("mixed table with bins", ".h")]
)
def test_export_writes_it_with_what_stands_beside_it(case, ending, tmp_path):
    clf, X = fitted(case)
    assert clf.export(tmp_path / f"student{ending}", X=X) < 1e-5
    schema = json.loads((tmp_path / "student.json").read_bytes())
    assert schema["function"] == "skkd_predict"
    assert schema["dtype"] == "float32"
    assert schema["schema"] == clf.network_.schema.to_dict()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"student.h", "student.json"} | {f"student{ending}"}


# ---- a program of its own --------------------------------------------------------------------

MAIN = """
#include <math.h>
#include <stdio.h>
#include "student.h"

int main(void)
{
    float x[SKKD_N_FEATURES] = {25.0f, NAN, 2005.0f, -3.0f, 2.0f, -1.0f, 1.0f, 7.0f};
    float probabilities[SKKD_N_CLASSES];
    int label = skkd_predict(x, probabilities);
    printf("%d %.9g %.9g\\n", label, (double)probabilities[0], (double)probabilities[1]);
    return 0;
}
"""

SANITIZED = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover")


def test_a_program_of_its_own_gets_what_the_classifier_predicts(tmp_path):
    clf, X = fitted("mixed table")
    clf.export(tmp_path / "student.c")
    schema = json.loads((tmp_path / "student.json").read_bytes())["schema"]
    assert schema["features"][4]["categories"][2] == "cook"  # the codes of the program
    assert schema["features"][6]["categories"][1] is True
    (tmp_path / "main.c").write_text(MAIN)
    compiled(tmp_path, *STRICT, *SANITIZED, "main.c", "student.c", "-o", "main", "-lm")
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    row = pd.DataFrame([[25.0, np.nan, 2005.0, -3.0, "cook", "south", True, 7]], columns=X.columns)
    row["region"] = "west"
    with pytest.warns(UserWarning, match="'region'"):
        expected = clf.predict_proba(row)[0]
    label, *probabilities = printed.split()
    assert clf.classes_[int(label)] == clf.classes_[expected.argmax()]
    assert np.abs(np.array(probabilities, float) - expected).max() < 1e-5


def test_the_program_in_the_docs_prints_the_class(tmp_path):
    iris = load_iris()
    clf = NeuralClassifier((8,), max_epochs=20, random_state=0)
    clf.fit(iris.data, iris.target_names[iris.target]).export(tmp_path / "student.c")
    compiled(tmp_path, *STRICT, DOCS / "main.c", f"-I{tmp_path}", "student.c", "-o", "main", "-lm")
    printed = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout
    row = [[5.9, 3.0, 4.2, 1.5]]
    assert printed == f"{clf.predict(row)[0]}: {clf.predict_proba(row).max():.2f}\n"


@pytest.mark.parametrize("case", ["mixed table", "heavy tails", "mish", "gelu"])
@pytest.mark.parametrize(("dtype", "f"), [("float32", "f"), ("float64", "")])
def test_no_heap_and_little_of_the_C_library(case, dtype, f, tmp_path):
    if shutil.which("nm") is None:
        pytest.skip("there is no nm")
    (tmp_path / "student.c").write_bytes(c.write(fitted(case)[0].network_, dtype))
    compiled(tmp_path, *STRICT, "-O0", "-c", "student.c")
    found = subprocess.run(["nm", "student.o"], cwd=tmp_path, capture_output=True, text=True)
    names = {line.split()[-1].lstrip("_"): line.split()[-2] for line in found.stdout.splitlines()}
    needed = {name for name, kind in names.items() if kind == "U"}
    assert f"exp{f}" in needed
    assert needed <= {f"exp{f}", f"tanh{f}", f"sqrt{f}"}
    assert [name for name, kind in names.items() if kind == "T"] == ["skkd_predict"]
    assert set(names.values()) <= set("UTtrR")  # functions and constants, and no variables


def test_it_can_be_called_from_Cpp(tmp_path):
    if shutil.which("g++") is None:
        pytest.skip("there is no g++")
    network = fitted("mixed table")[0].network_
    (tmp_path / "student.h").write_bytes(c.write_header(network, "float32"))
    (tmp_path / "main.cpp").write_text("#include <cmath>\n" + MAIN)
    command = ["g++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "main.cpp"]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_a_row_that_gives_no_probabilities_has_no_class(tmp_path):
    network = fitted("no preprocessing")[0].network_
    files = {ending: write(network, "float32") for ending, write in FORMATS[".c"].beside.items()}
    runner = c_compiler.compile_c(files | {".c": c.write(network, "float32")})
    x, probabilities = np.full((1, 4), np.nan, np.float32), np.empty((1, 3), np.float32)
    label = np.zeros(1, np.intc)
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (x, probabilities, label)]
    runner.run_rows(ctypes.c_size_t(1), *pointers)
    assert label[0] == -1


def test_a_compiler_that_ignores_missing_values_is_refused(tmp_path):
    (tmp_path / "student.c").write_bytes(c.write(fitted("gelu")[0].network_, "float32"))
    command = [*compiler(), "-std=c99", "-ffast-math", "-fsyntax-only", "student.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "compile without -ffast-math" in done.stderr


# ---- names and comments ----------------------------------------------------------------------


def test_two_classifiers_in_one_program_have_two_prefixes(tmp_path):
    clf, _ = fitted("labels from 1")
    clf.export(tmp_path / "a.c", prefix="a_")
    clf.export(tmp_path / "b.c", prefix="B9")
    text = (
        '#include "a.h"\n#include "b.h"\n'
        "int main(void) { return a_predict == B9predict || A_N_CLASSES != B9N_CLASSES; }"
    )
    (tmp_path / "main.c").write_text(text)
    compiled(tmp_path, *STRICT, "main.c", "a.c", "b.c", "-o", "main", "-lm")
    subprocess.run([tmp_path / "main"], check=True)


def test_two_headers_of_one_prefix_are_an_error_of_the_compiler(tmp_path):
    for name, case in (("a", "relu"), ("b", "gelu")):
        content = c.write_header_only(fitted(case)[0].network_, "float32")
        (tmp_path / f"{name}.h").write_bytes(content)
    (tmp_path / "main.c").write_text('#include "a.h"\n#include "a.h"\n#include "b.h"\n')
    command = [*compiler(), "-std=c99", "-fsyntax-only", "main.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "redefinition of" in done.stderr


@pytest.mark.parametrize("prefix", ["", "1a", "a-", "ä", "a b", 3, "_a", "a\n"])
def test_a_prefix_that_is_no_name_is_refused(prefix, tmp_path):
    with pytest.raises(ValueError, match="prefix=.* is not allowed"):
        fitted("relu")[0].export(tmp_path / "student.c", prefix=prefix)
    assert list(tmp_path.iterdir()) == []


def test_a_prefix_is_refused_for_other_formats(tmp_path):
    with pytest.raises(ValueError, match=r"prefix='a_' is not allowed: give None: \.npz"):
        fitted("relu")[0].export(tmp_path / "student.npz", prefix="a_")


def test_no_text_ends_the_comment_or_the_line(tmp_path):
    odd = ["*/ int", "/* a", "??/", "a\\", "\n#error", "\ud800", "skkd_ $real ${f}", "/*/"]
    values = np.resize(np.array(odd, dtype=object), (64, len(odd)))
    X = pd.DataFrame(np.roll(values, 1, axis=0), columns=pd.Index(odd, dtype=object), dtype=object)
    X.iloc[0] = odd[::-1]
    clf, _ = classifier(X, np.resize(np.array(odd[:3]), 64))
    (tmp_path / "student.c").write_bytes(c.write(clf.network_, "float32", "a_"))
    compiled(tmp_path, *STRICT, "-O0", "-trigraphs", "-c", "student.c")
    text = (tmp_path / "student.c").read_text("ascii")
    assert '\n * x[6]: "skkd_ $real ${f}", a category\n' in text
    assert re.search(r'\n \*     \d: "\\ud800"\n', text)


# ---- files -----------------------------------------------------------------------------------


def test_it_is_not_loaded(tmp_path):
    for ending in (".c", ".h"):
        path = tmp_path / f"student{ending}"
        path.write_text("int main(void) { return 0; }")
        with pytest.raises(ValueError, match="is not loaded: C code would have to be compiled"):
            skkd.load(path)


def test_without_a_compiler_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"none is installed: install a C compiler.*variable CC"):
        fitted("relu")[0].export(tmp_path / "student.c")
    monkeypatch.setenv("CC", "no-such-compiler -m32")
    with pytest.raises(RuntimeError, match="CC='no-such-compiler' is not installed"):
        fitted("relu")[0].export(tmp_path / "student.c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="a script as the compiler")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo broken >&2; exit 1", "cannot compile the C code: broken"),
        ("echo foreign > model.so", "does not run here"),
    ],
)
def test_a_compiler_that_does_not_work_is_named(script, reason, monkeypatch, tmp_path):
    (tmp_path / "compile").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "compile").chmod(0o700)
    monkeypatch.setenv("CC", str(tmp_path / "compile"))
    with pytest.raises(RuntimeError, match=rf"(?s)compile.*{reason}"):
        fitted("relu")[0].export(tmp_path / "student.c")
    assert [path.name for path in tmp_path.iterdir()] == ["compile"]


def test_code_that_answers_otherwise_is_not_written(monkeypatch, tmp_path):
    wrong = c.C_ACTIVATIONS["leaky_relu"].replace("0.01", "0.1")
    monkeypatch.setitem(c.C_ACTIVATIONS, "relu", wrong)
    (tmp_path / "student.c").write_text("old")
    with pytest.raises(ValueError, match="does not answer like the classifier"):
        fitted("relu")[0].export(tmp_path / "student.c")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("name", ["student.h", "student.json"])
def test_a_file_beside_it_that_skkd_did_not_write_is_kept(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=rf"{name}' would stand beside .*student\.c"):
        fitted("relu")[0].export(tmp_path / "student.c")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_its_own_files_are_replaced(tmp_path):
    for case in ("relu", "gelu"):
        fitted(case)[0].export(tmp_path / "student.c")
    assert "tanhf" in (tmp_path / "student.c").read_text()
    with pytest.raises(ValueError, match=r"path='.*student\.h' is not allowed"):
        fitted("relu")[0].export(tmp_path / "student.h", format="c")


# ---- what cannot be exported -----------------------------------------------------------------


def test_numbers_beyond_float_need_double():
    clf, _ = classifier(numbers(n_features=2) * 1e200)
    with pytest.raises(ValueError, match=r'beyond float32: give dtype="float64"'):
        c.write(clf.network_, "float32")
    assert b"double" in c.write(clf.network_, "float64")


def test_a_large_network_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setattr(c, "MOST_WEIGHTS", 50)
    clf, _ = fitted("relu")
    assert clf.exports_to()[".c"] == "the network has 56 weights, and C code can have 50"
    with pytest.raises(ValueError, match=r"cannot be exported to \.h: the network has 56 weights"):
        clf.export(tmp_path / "student.h")
