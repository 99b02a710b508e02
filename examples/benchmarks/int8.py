"""
Layers in 8-bit integers: size, time and labels
===============================================

Networks of three sizes learn the incomes of the table Adult. Each is written as an ONNX file in
float32, and once more with ``quantize="int8"``. Both run in ONNX Runtime with one thread. The
script prints the table of the guide's page on exporting.

``python examples/benchmarks/int8.py FOLDER`` takes a minute. The folder has adult.csv.gz.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tables import load_split

import skkd
from skkd.exporting.onnx.inputs import feeds_of
from skkd.exporting.rows import read_rows

SIZES = ((32, 32), (128, 128), (512, 512))
N_ROWS = 10_000


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def seconds(call, n_calls):
    """The least processor time of a call, over many repetitions."""
    found = []
    for _ in range(n_calls):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def measures(path, clf, X, y):
    """Size in kB, time of one row and of many, accuracy, and share of labels like those of clf."""
    session = session_of(path)
    rows = read_rows(clf.network_.schema, X, "int8")
    columns = feeds_of(clf.network_.schema, rows, np.float32)
    names = [given.name for given in session.get_inputs()]

    def predict(n_rows):
        feeds = {name: column[:n_rows] for name, column in zip(names, columns, strict=True)}
        return session.run(None, feeds)[0]

    one, many = seconds(lambda: predict(1), 5000), seconds(lambda: predict(N_ROWS), 20)
    labels = predict(len(y))
    agreement = np.mean(labels == clf.predict(X))
    return path.stat().st_size / 1e3, one * 1e6, many * 1e3, np.mean(labels == y), agreement


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("folder", help="the folder of adult.csv.gz")
    X, X_test, y, y_test = load_split(parser.parse_args().folder, "adult", 0)
    print("layers   weights   kB  1 row, µs  10,000 rows, ms  accuracy  labels alike")
    with tempfile.TemporaryDirectory() as folder:
        for sizes in SIZES:
            clf = skkd.NeuralClassifier(sizes, random_state=0).fit(X, y)
            for quantize in (None, "int8"):
                path = Path(folder) / "clf.onnx"
                clf.export(path, X=X_test, y=y_test if quantize else None, quantize=quantize)
                found = "{:6.0f} {:6.0f} {:8.1f}  {:.4f}  {:.4f}".format(
                    *measures(path, clf, X_test, y_test)
                )
                print(f"{sizes!s:12} {quantize or 'float32':8} {found}", flush=True)


if __name__ == "__main__":
    main()
