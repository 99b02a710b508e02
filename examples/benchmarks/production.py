"""
From notebook to production: what does a prediction cost, way by way?
=====================================================================

A forest and gradient boosting, stacked, are fitted on the DataFrame of adult, with its strings and
missing values. Two students learn from the stack: the default network and a small one. Each is
exported to every format. Then:

- the ``.onnx`` files predict the official test rows, which come as lines of JSON, in processes that
  cannot import torch, sklearn, skkd, scipy or pandas. Their labels must be those of the student,
  and probabilities may differ by 1e-5;
- all ways of predicting take turns in rounds, with one thread. A time is the median of the rounds,
  and a ratio is the median of the rounds' ratios.

If skl2onnx is installed, the teacher's own ONNX form takes part, too. (Version 1.20 of skl2onnx
converts HistGradientBoosting only with protobuf below 7.)

``python examples/benchmarks/production.py FOLDER`` takes four minutes on two cores; FOLDER has the
file of adult. ``--csv FILE`` writes the table to a file, too.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from speed_parts import ratio, rounds_of
from speed_predictions import has
from tables import load_split
from threadpoolctl import threadpool_limits

import skkd

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
sys.path.insert(0, str(GUIDE))
from serve_onnx import Model  # noqa: E402

#: The students by the units of their layers; None stands for the defaults.
STUDENTS = {"student, default": None, "student, 32-32": (32, 32)}
TOLERANCE = 1e-5
MANY = 10_000


# %%
# The models
# ----------


def stack(seed, threads):
    """Return forest and boosting, stacked, with an encoder that skl2onnx can convert."""
    codes = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1
    )
    strings = make_column_selector(dtype_exclude="number")
    encode = make_column_transformer((codes, strings), remainder="passthrough")
    forest = RandomForestClassifier(500, min_samples_leaf=5, n_jobs=threads, random_state=seed)
    boosting = HistGradientBoostingClassifier(random_state=seed)
    parts = [("forest", forest), ("boosting", boosting)]
    return make_pipeline(encode, StackingClassifier(parts, LogisticRegression(), cv=3))


def fit_models(X, y, threads):
    """Return the teacher, and the students by name."""
    with threadpool_limits(threads):
        start = perf_counter()
        teacher = stack(0, threads).fit(X, y)
        print(f"teacher: fitted in {perf_counter() - start:.0f} s", flush=True)
        students = {}
        for name, layers in STUDENTS.items():
            settings = {} if layers is None else {"hidden_layer_sizes": layers}
            settings |= {"n_threads": threads, "random_state": 0}
            start = perf_counter()
            student = skkd.DistilledClassifier(teacher, **settings).fit(X, y)
            students[name] = student
            print(
                f"{name}: fitted in {perf_counter() - start:.0f} s, learned from "
                f"{student.candidate_!r}, agrees with the teacher on {student.agreement_:.3f}",
                flush=True,
            )
    for part in teacher[-1].estimators_:
        if hasattr(part, "n_jobs"):
            part.set_params(n_jobs=1)
    return teacher, students


# %%
# Ways of predicting
# ------------------


class Way(NamedTuple):
    """A way of predicting: `prepare` makes its input of a DataFrame, before the time is taken."""

    model: str
    name: str
    takes: str
    prepare: Callable[[pd.DataFrame], Any]
    predict: Callable[[Any], np.ndarray]
    n_bytes: int


def as_is(X):
    return X


def records(X):
    """Return the rows as a service gets them: dicts of plain values."""
    return X.astype(object).where(X.notna(), None).to_dict("records")


def ways_of_teacher(teacher, X):
    """Yield the ways in which the teacher predicts."""
    size = len(pickle.dumps(teacher))
    yield Way("teacher", "predict_proba", "DataFrame", as_is, teacher.predict_proba, size)
    if not has("teacher in ONNX Runtime", "skl2onnx", "onnxruntime"):
        return
    try:
        data = teacher_in_onnx(teacher, X)
    except Exception as error:  # the converter fails in many ways
        reason = str(error.__cause__ or error)[-200:]
        print(f"teacher in ONNX Runtime is left out: skl2onnx cannot convert it: {reason}")
        return
    session = in_onnx_runtime(data)
    names = [given.name for given in session.get_inputs()]  # skl2onnx changes some characters

    def tensors(X):
        parts = (X[[name]] for name in X)
        columns = [
            part.fillna("").to_numpy(dtype=object) if is_text(part) else part.to_numpy(np.float32)
            for part in parts
        ]
        return dict(zip(names, columns, strict=True))

    def predict(feeds):
        return session.run(["probabilities"], feeds)[0]

    yield Way("teacher", "ONNX Runtime", "tensors", tensors, predict, len(data))


def is_text(column):
    return not pd.api.types.is_numeric_dtype(column.iloc[:, 0])


def teacher_in_onnx(teacher, X):
    """Return the bytes of the whole pipeline, converted by skl2onnx."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    kinds = [StringTensorType if is_text(X[[name]]) else FloatTensorType for name in X]
    inputs = [(name, kind([None, 1])) for name, kind in zip(X, kinds, strict=True)]
    start = perf_counter()
    model = to_onnx(teacher, initial_types=inputs, options={"zipmap": False})
    print(f"teacher: converted by skl2onnx in {perf_counter() - start:.0f} s", flush=True)
    return model.SerializeToString()


def in_onnx_runtime(data):
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = 1
    return InferenceSession(data, options, providers=["CPUExecutionProvider"])


def ways_of_student(name, student, folder):
    """Export a student to each format; yield the ways in which it predicts."""
    network = student.student_
    size = len(pickle.dumps(network))
    yield Way(name, "predict_proba", "DataFrame", as_is, network.predict_proba, size)
    yield Way(name, "predictor()", "dicts", records, network.predictor(), size)
    for ending, obstacle in student.exports_to().items():
        if ending in (".c", ".h"):  # code is compiled into the program that calls it
            continue
        path = file_of(folder, name, ending)
        try:
            if obstacle is not None:
                raise ValueError(obstacle)
            student.export(path)
            loaded = skkd.load(path)
        except (ImportError, ValueError) as error:
            print(f"{name}: {ending} is left out: {error}")
            continue
        size = path.stat().st_size
        if ending == ".onnx":
            yield from ways_of_onnx(name, Model(path), size)
        yield Way(name, f"skkd.load, {ending}", "DataFrame", as_is, loaded.predict_proba, size)


def ways_of_onnx(name, model, size):
    """Yield the ways of a service without skkd: ``docs/guide/serve_onnx.py``."""

    def of_rows(rows):
        return model.predict(rows)[1]

    def of_tensors(feeds):
        return model.session.run(["probabilities"], feeds)[0]

    yield Way(name, "ONNX Runtime", "dicts", records, of_rows, size)
    yield Way(name, "ONNX Runtime", "tensors", model.tensors, of_tensors, size)


def file_of(folder, name, ending):
    return folder / f"{name.replace(', ', '-')}{ending}"


# %%
# The file alone
# --------------

BLOCKED = ("torch", "sklearn", "skkd", "scipy", "pandas")

SERVICE = """
import json, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")

path, guide, out, *BLOCKED = sys.argv[1:]
sys.meta_path.insert(0, Blocked())
sys.path.insert(0, guide)
import numpy as np
from serve_onnx import Model

label, probabilities = Model(path).predict([json.loads(line) for line in sys.stdin])
for name in BLOCKED:
    try:
        __import__(name)
    except ImportError:
        continue
    sys.exit(f"{name} could be imported")
np.savez(out, label=label.astype(str), probabilities=probabilities)
"""


def check_in_other_process(name, student, folder, X):
    """Compare the ``.onnx`` file of a student with the student, without skkd in the process."""
    path, out = file_of(folder, name, ".onnx"), folder / "answers.npz"
    if not path.exists():
        return
    command = [sys.executable, "-c", SERVICE, path, GUIDE, out, *BLOCKED]
    lines = "\n".join(map(json.dumps, records(X)))
    subprocess.run(command, input=lines, text=True, check=True)
    with np.load(out) as answers:
        n_other = int((answers["label"] != student.predict(X)).sum())
        largest = np.abs(answers["probabilities"] - student.predict_proba(X)).max()
    print(
        f"{name}: {len(X):,} rows in ONNX Runtime, without {', '.join(BLOCKED)}: "
        f"{n_other} other labels, largest difference {largest:.1e}"
    )
    if n_other or not largest <= TOLERANCE:
        sys.exit(f"{path} does not answer like the student")


# %%
# Accuracy and time
# -----------------


def answers_of(ways, X, references):
    """Return (probabilities, largest difference from the model itself) of each way."""
    found = []
    for way in ways:
        probabilities = way.predict(way.prepare(X))
        largest = np.abs(probabilities - references[way.model]).max()
        if way.model in STUDENTS and not largest <= TOLERANCE:
            sys.exit(f"{way.model}, {way.name} does not answer like the student: {largest:.1e}")
        found.append((probabilities, largest))
    return found


def times_of(ways, X, n_rounds, repeats):
    """Return the milliseconds of each way, and the teacher's time divided by it."""
    inputs = [way.prepare(X) for way in ways]
    calls = {
        i: (lambda predict=way.predict, rows=rows: predict(rows))
        for i, (way, rows) in enumerate(zip(ways, inputs, strict=True))
    }
    times = rounds_of(calls, n_rounds, repeats)
    return [(1e3 * median(times[i]), ratio(times[0], times[i])) for i in calls]


def table_of(ways, X, y, references, n_rounds):
    """Return the table; in brackets behind a time is the teacher's, divided by it."""
    answers = answers_of(ways, X, references)
    one = times_of(ways, X.iloc[[0]], n_rounds, repeats=20)
    many = times_of(ways, X.iloc[:MANY], n_rounds, repeats=1)
    classes = np.unique(y)
    lines = [
        {
            "way": f"{way.model}: {way.name}",
            "takes": way.takes,
            "accuracy": f"{np.mean(classes[probabilities.argmax(axis=1)] == y):.4f}",
            "difference": f"{largest:.0e}" if largest else "0",
            "1 row, ms": f"{short(one_row[0])} ({short(one_row[1])})",
            f"{MANY:,} rows, ms": f"{short(many_rows[0])} ({short(many_rows[1])})",
            "size, kB": f"{way.n_bytes / 1e3:,.0f}",
        }
        for way, (probabilities, largest), one_row, many_rows in zip(
            ways, answers, one, many, strict=True
        )
    ]
    return pd.DataFrame(lines)


def short(number):
    """Return a number with two digits, or three before the point."""
    return f"{float(f'{number:.2g}'):g}" if number < 100 else f"{float(f'{number:.3g}'):,.0f}"


def main():
    parser = argparse.ArgumentParser(description="Ways of predicting adult, side by side.")
    parser.add_argument("folder", type=Path, help="where the file of adult is")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="threads of the fits")
    parser.add_argument("--csv", type=Path, help="write the table to this file, too")
    options = parser.parse_args()
    X_train, X_test, y_train, y_test = load_split(options.folder, "adult", 0)
    teacher, students = fit_models(X_train, y_train, options.threads)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1):
        folder = Path(name)
        ways = list(ways_of_teacher(teacher, X_train))
        for name, student in students.items():
            ways += ways_of_student(name, student, folder)
            check_in_other_process(name, student, folder, X_test)
        models = {"teacher": teacher} | students
        references = {name: model.predict_proba(X_test) for name, model in models.items()}
        table = table_of(ways, X_test, y_test, references, options.rounds)
    print(table.to_string(index=False))
    if options.csv is not None:
        table.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
