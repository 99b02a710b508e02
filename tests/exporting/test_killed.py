"""An export that is killed leaves the old file or the new one.

The kills are few, so that the test is quick. For more, from the folder of the tests:
``SKKD_KILLS=50 pytest -n 0 -s exporting/test_killed.py``, which also prints when they came.

30 November 2026, 50 kills per format: all files were whole. Of .onnx, .npz and .safetensors 8, 4
and 9 kills came while the file was being written; 29, 27 and 17 left the first of the two.
"""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from exported_cases import codes, numbers

import skkd
from skkd import NeuralClassifier

N_KILLS = int(os.environ.get("SKKD_KILLS", "2"))

ENDINGS = (".onnx", ".npz", ".safetensors")

#: Kills children that export two networks in turn, each after a random time. Prints which of
#: the two the file is after each kill, and the number of files that were being written beside it.
CODE = """
import json, os, pickle, random, signal, sys, time
from pathlib import Path
import onnx, onnxruntime, safetensors.numpy  # once, and not in each child
import skkd

folder, n_kills, *endings = Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]
networks = pickle.load(sys.stdin.buffer)
random.seed(0)

def child_that(call):
    child = os.fork()
    if child == 0:
        try:
            call()
        finally:
            os._exit(0)
    return child

def export_for_ever(path):
    while True:
        for network in networks:
            skkd.export(network, path)

def whole_files(path):
    for network in networks:
        path.unlink(missing_ok=True)
        start = time.perf_counter()
        os.waitpid(child_that(lambda: skkd.export(network, path)), 0)
        yield path.read_bytes(), time.perf_counter() - start

def after_a_kill(path, wholes, period):
    child = child_that(lambda: export_for_ever(path))
    time.sleep(random.uniform(0, 3 * period))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    found = path.read_bytes()
    beside = list(folder.glob(f".{path.name}.*"))
    for other in beside:
        other.unlink()
    return wholes.index(found) if found in wholes else None, len(beside)

for ending in endings:
    path = folder / f"clf{ending}"
    wholes, periods = zip(*whole_files(path))
    print(json.dumps([after_a_kill(path, wholes, periods[1]) for _ in range(n_kills)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes of POSIX")
def test_a_killed_export_leaves_the_old_file_or_the_new_one(tmp_path):
    X = numbers()
    settings = {"hidden_layer_sizes": (200, 200), "max_epochs": 1}  # so that writing takes long
    pair = [NeuralClassifier(**settings, random_state=s).fit(X, codes(X)) for s in (0, 1)]
    command = [sys.executable, "-c", CODE, str(tmp_path), str(N_KILLS), *ENDINGS]
    networks = pickle.dumps([clf.network_ for clf in pair])
    done = subprocess.run(command, input=networks, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    for ending, line in zip(ENDINGS, done.stdout.splitlines(), strict=True):
        which, n_beside = zip(*json.loads(line), strict=True)
        assert len(which) == N_KILLS
        assert set(which) <= {0, 1}
        expected = pair[which[-1]].predict_proba(X)
        loaded = skkd.load(tmp_path / f"clf{ending}").predict_proba(X)
        assert np.abs(loaded - expected).max() < 1e-5
        counts = f"{sum(n_beside)} while writing, {which.count(0)} left the first classifier"
        print(f"{ending}: {N_KILLS} kills, {counts}")
