"""Running exported C: it is compiled in a temporary folder, and called through ctypes."""

import ctypes
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from skkd.exporting.rows import numbers_of
from skkd.exporting.runners import Runner
from skkd.inference.schema import Schema
from skkd.preprocessing.preprocessor import categories_of

__all__ = ["CRunner", "compile_c", "compiler", "rows_of_c"]

#: Names of compilers that are looked for, if the environment variable CC names none.
COMPILERS = ("cc", "gcc", "clang")

FLAGS = ("-std=c99", "-O2", "-shared", "-fPIC")

#: Calls the function on many rows.
DRIVER = """
#include <stddef.h>
#include "model.h"

void run_rows(size_t n, const {real} *x, {real} *probabilities, int *label);

void run_rows(size_t n, const {real} *x, {real} *probabilities, int *label)
{{
    for (size_t i = 0; i < n; i++)
        label[i] = {prefix}predict(x + i * {macro}N_FEATURES,
                                   probabilities + i * {macro}N_CLASSES);
}}
"""


@dataclass(frozen=True, eq=False)
class CRunner:
    """Predictions of compiled C.

    Parameters
    ----------
    run_rows : callable
        The function of the driver.
    schema : Schema
    dtype : {"float32", "float64"}
    metadata : dict
    """

    run_rows: Any
    schema: Schema
    dtype: str
    metadata: dict[str, Any]

    def run(self, rows: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of each row, and the probabilities of the classes."""
        x = rows_of_c(self.schema, rows, self.dtype)
        probabilities = np.empty((len(x), len(self.schema.classes)), self.dtype)
        label = np.empty(len(x), np.intc)
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (x, probabilities, label)]
        self.run_rows(ctypes.c_size_t(len(x)), *pointers)
        return self.schema.classes[label], probabilities.astype(np.float64)


def rows_of_c(schema: Schema, rows: Any, dtype: str) -> np.ndarray:
    """Convert rows to what the C function takes: numbers and codes.

    Parameters
    ----------
    schema : Schema
    rows : ndarray, sparse matrix or Table
        Rows from :func:`skkd.exporting.rows.read_rows`.
    dtype : {"float32", "float64"}

    Returns
    -------
    ndarray of shape (n_rows, n_features)
    """
    rows = rows.toarray() if sparse.issparse(rows) else rows
    x = np.empty((rows.shape[0], len(schema.features)), dtype)
    encoders = dict(zip(schema.categorical, schema.encoders, strict=True))
    with np.errstate(over="ignore"):  # the code gets infinity, and clips it
        for j, feature in enumerate(schema.features):
            if j not in encoders:
                x[:, j] = numbers_of(feature, rows, j)
                continue
            values = categories_of(rows, j)
            x[:, j] = encoders[j].codes(values)
            x[[value is None for value in values], j] = np.nan
    return x


def compiler() -> list[str]:
    """Return the command of the C compiler.

    Returns
    -------
    list of str
        The environment variable CC, else the first of `COMPILERS` that is installed.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    named = shlex.split(os.environ.get("CC", ""))
    found = [path for path in map(shutil.which, named[:1] or COMPILERS) if path is not None]
    if not found:
        reason = f"CC={named[0]!r} is not" if named else "none is"
        raise RuntimeError(
            f"C code is compiled and run before it is written, and {reason} installed: install a C "
            "compiler such as gcc or clang, or name one in the environment variable CC."
        )
    return [found[0], *named[1:]]


def compile_c(files: dict[str, bytes]) -> Runner:
    """Compile exported files, and return what they answer.

    Parameters
    ----------
    files : dict of str to bytes
        By ending: ``.h``, ``.json``, and perhaps ``.c``.

    Returns
    -------
    Runner

    Raises
    ------
    RuntimeError
        If there is no C compiler, or what it makes does not run here.
    """
    described = json.loads(files[".json"])
    prefix, dtype = described["function"].removesuffix("predict"), described["dtype"]
    real = "float" if dtype == "float32" else "double"
    driver = DRIVER.format(prefix=prefix, macro=prefix.upper(), real=real)
    command = compiler()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for ending, content in files.items():
            (Path(folder) / f"model{ending}").write_bytes(content)
        (Path(folder) / "driver.c").write_text(driver)
        sources = ["driver.c"] + ["model.c"] * (".c" in files)
        run_rows = _compiled([*command, *FLAGS, *sources, "-o", "model.so", "-lm"], folder)
    schema = Schema.from_dict(described["schema"])
    return CRunner(run_rows, schema, dtype, described["metadata"])


def _compiled(command: list[str], folder: str) -> Any:
    """Run a compiler in a folder, and return the function of the driver."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
        if done.returncode:
            raise RuntimeError(f"{command[0]} cannot compile the C code: {done.stderr.strip()}")
        return ctypes.CDLL(str(Path(folder) / "model.so")).run_rows
    except OSError as error:
        raise RuntimeError(
            f"what {command[0]} makes of the C code does not run here: {error}. Name another C "
            "compiler in the environment variable CC, or another temporary folder in TMPDIR."
        ) from error
