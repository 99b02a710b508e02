"""The script that runs files in other runtimes finds what differs; here in this environment."""

import sys

import other_runtimes
import pytest


@pytest.mark.parametrize("is_changed", [False, True])
def test_files_that_answer_otherwise_are_found(is_changed, tmp_path, monkeypatch, capsys):
    files = [("mixed table with bins", 32, None), ("bool labels", 64, None), ("relu", 32, "int8")]
    monkeypatch.setattr(other_runtimes, "FILES", files)
    works, expected = other_runtimes.export_all(tmp_path)
    done = other_runtimes.run([sys.executable, "-c", other_runtimes.PYTHON], tmp_path)
    if is_changed:
        expected[1][1][0] += 1e-8
    assert other_runtimes.compare("onnxruntime", done, works, expected) is not is_changed
    lines = capsys.readouterr().out.splitlines()
    assert ["WRONG" in line for line in lines] == [False, False, is_changed, False]
