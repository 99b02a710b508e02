"""The same ONNX files in ONNX Runtime of 2024, in the newest one, and in onnxruntime-web in Node.

``python tests/exporting/other_runtimes.py`` exports classifiers, installs each runtime into a
folder that is removed at the end, and prints the largest difference between probabilities of the
file and of the classifier (for int8, of the file in this environment). It needs pip, npm, and about
a minute. Rows are drawn: usual numbers, extremes, missing values, known and unknown categories.
``--pip`` names other versions, and ``--no-npm`` leaves Node out.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np
from exported_cases import fitted

import skkd
from skkd.exporting.onnx.inputs import feeds_of, input_names
from skkd.exporting.rows import draw_rows
from skkd.exporting.runners import NetworkRunner

#: (case, dtype, quantize): inputs of numbers and of text, labels of int64 and string, all
#: activations that are not a single operator.
FILES = [
    *((case, dtype, None) for case in ("32-32 with bins", "heavy tails") for dtype in (32, 64)),
    *((case, 32, None) for case in ("mixed table with bins", "rare texts", "26 classes")),
    *((case, 32, None) for case in ("bool labels", "sparse numbers", "mixed array", "float64")),
    *((case, 32, None) for case in ("gelu", "mish", "elu", "leaky_relu", "selu", "silu")),
    *((case, 32, "int8") for case in ("32-32 with bins", "mixed table with bins")),
]

#: The largest allowed difference of probabilities. With int8, a number close to the middle of two
#: integers may be rounded up in one runtime, and down in another.
TOLERANCES = {(32, None): 1e-5, (64, None): 1e-9, (32, "int8"): 5e-3}

PYTHON = """
import json, sys
import numpy as np, onnxruntime

DTYPES = {"float32": np.float32, "float64": np.float64, "string": object}
answers = []
for work in json.load(open("work.json", encoding="utf-8")):
    session = onnxruntime.InferenceSession(work["file"], providers=["CPUExecutionProvider"])
    feeds = {
        given["name"]: np.array(given["data"], DTYPES[given["type"]]).reshape(given["shape"])
        for given in work["inputs"]
    }
    label, probabilities = session.run(["label", "probabilities"], feeds)
    answers.append({"label": label.tolist(), "probabilities": probabilities.tolist()})
json.dump({"version": onnxruntime.__version__, "answers": answers}, sys.stdout)
"""

NODE = """
import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";

ort.env.wasm.numThreads = 1;
const arrays = { float32: Float32Array, float64: Float64Array, string: Array };
const answers = [];
for (const work of JSON.parse(readFileSync("work.json", "utf8"))) {
  const session = await ort.InferenceSession.create(readFileSync(work.file));
  const feeds = {};
  for (const { name, type, shape, data } of work.inputs) {
    const values = data.map((value) => (value === null ? NaN : value));
    feeds[name] = new ort.Tensor(type, arrays[type].from(values), shape);
  }
  const { label, probabilities } = await session.run(feeds);
  const [nRows, nClasses] = probabilities.dims;
  const rows = Array.from({ length: nRows }, (_, i) =>
    Array.from(probabilities.data.slice(i * nClasses, (i + 1) * nClasses)));
  const plain = (value) => (typeof value === "bigint" ? Number(value) : value);
  answers.push({ label: Array.from(label.data, plain), probabilities: rows });
}
console.log(JSON.stringify({ version: ort.env.versions.web, answers }));
"""


def export(folder, case, dtype, quantize):
    """Write a file; (what a runtime gets, labels and probabilities that are expected)."""
    clf, X = fitted(case)
    path = Path(folder) / f"{case}-{dtype}-{quantize}.onnx"
    settings = {"X": X, "min_agreement": 0.9} if quantize else {}
    with contextlib.redirect_stdout(io.StringIO()):
        clf.export(path, dtype=f"float{dtype}", quantize=quantize, **settings)
    network, schema = clf.network_, clf.network_.schema
    rows = draw_rows(network.preprocessor, schema)
    runner = skkd.load(path).runner if quantize else NetworkRunner(network, schema)
    columns = feeds_of(schema, rows, np.dtype(f"float{dtype}"))
    inputs = [
        {
            "name": name,
            "type": "string" if values.dtype == object else values.dtype.name,
            "shape": values.shape,
            "data": [None if value != value else value for value in values.ravel().tolist()],
        }
        for name, values in zip(input_names(schema), columns, strict=True)
    ]
    return {"file": path.name, "inputs": inputs}, runner.run(rows)


def finite(inputs):
    """JSON has no infinity: the largest number is clipped likewise."""
    for given in inputs:
        if given["type"] != "string":
            most = float(np.finfo(given["type"]).max)
            given["data"] = [v if v is None else min(max(v, -most), most) for v in given["data"]]
    return inputs


def difference(answer, expected, tolerance):
    """(largest difference of probabilities, number of labels that differ though they must not)."""
    labels, p = expected
    first, second = np.sort(p, axis=1)[:, :-3:-1].T
    is_other = np.array(answer["label"]) != labels
    n_wrong = int((is_other & (first - second > 2 * tolerance)).sum())
    return float(np.abs(np.array(answer["probabilities"]) - p).max()), n_wrong


def compare(name, done, works, expected):
    """Print a line for each file; whether all are within their tolerance."""
    found = json.loads(done)
    print(f"{name} {found['version']}")
    are_close = []
    for file, work, answer, right in zip(FILES, works, found["answers"], expected, strict=True):
        tolerance = TOLERANCES[file[1:]]
        largest, n_wrong = difference(answer, right, tolerance)
        are_close.append(largest <= tolerance and n_wrong == 0)
        mark = "" if are_close[-1] else f"  WRONG: {tolerance} is allowed, {n_wrong} labels differ"
        print(f"  {work['file']:38s} {len(right[0])} rows  {largest:.2e}{mark}")
    return all(are_close)


def run(command, folder):
    return subprocess.run(
        command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ).stdout


def run_python(folder, version):
    """Install a version of onnxruntime and run the files in it."""
    home = Path(folder) / f"env-{version}"
    venv.create(home, with_pip=True)
    python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
    package = "onnxruntime" + ("" if version == "newest" else f"=={version}")
    run([python, "-m", "pip", "install", "--quiet", package], folder)
    return run([python, "-c", PYTHON], folder)


def run_node(folder):
    """Install onnxruntime-web and run the files in it."""
    run(["npm", "install", "--silent", "--no-save", "onnxruntime-web"], folder)
    (Path(folder) / "run.mjs").write_text(NODE, encoding="utf-8")
    return run(["node", "run.mjs"], folder)


def export_all(folder):
    """Write all files and ``work.json``; (works, expected answers)."""
    works, expected = zip(*(export(folder, *file) for file in FILES), strict=True)
    for work in works:
        work["inputs"] = finite(work["inputs"])
    text = json.dumps(works, allow_nan=False)
    (Path(folder) / "work.json").write_text(text, encoding="utf-8")
    return works, expected


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pip", nargs="*", default=["1.20.1", "newest"], help="versions")
    parser.add_argument("--no-npm", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        works, expected = export_all(folder)
        answers = [("onnxruntime", run_python(folder, version)) for version in options.pip]
        if not options.no_npm:
            answers.append(("onnxruntime-web", run_node(folder)))
        are_close = [compare(name, done, works, expected) for name, done in answers]
    if not all(are_close):
        sys.exit("answers differ")


if __name__ == "__main__":
    main()
