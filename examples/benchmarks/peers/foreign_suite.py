"""Run a test suite of another library against skkd, and print the results.

The suite of the installed library is run; none of its code is copied. It runs in a process of its
own, with a pytest plugin that replaces a class of the library by one of skkd. A test that fails
counts as "not applicable" if a documented rule gives the reason, and as "failed" otherwise.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

__all__ = ["Row", "main", "run_suite"]

PASSED, FAILED, SKIPPED, NOT_APPLICABLE = "passed", "failed", "skipped", "not applicable"


@dataclass
class Row:
    """The outcome of one test."""

    test: str  #: as "module.Class.name[parameters]"
    outcome: str  #: "passed", "failed", "skipped" or "not applicable"
    reason: str = ""  #: why it is not applicable, or the first line of the failure


def run_suite(path_or_module, plugin, not_applicable, *arguments):
    """Run a suite and return the outcome of each of its tests.

    Parameters
    ----------
    path_or_module : str
        A file, a folder, or the dotted name of an installed module or package.
    plugin : str
        Path of a Python file that pytest loads as a plugin before it collects any test.
        It may be the script that calls this function.
    not_applicable : dict of str to str
        Regular expressions and reasons. A failed test counts as not applicable if one of the
        expressions is found in "test: first line of the failure". The first that is found
        gives the reason.
    *arguments : str
        Further arguments of pytest, such as ``"-k", "classifier"``.

    Returns
    -------
    list of Row
        One row per test, in the order of the suite.
    """
    plugin = Path(plugin).resolve()
    if os.path.exists(path_or_module):
        suite = [os.path.abspath(path_or_module)]
    else:
        suite = ["--pyargs", path_or_module]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", *suite, "-p", plugin.stem, "-q"]
        command += ["-p", "no:cacheprovider", f"--rootdir={folder}", f"--junitxml={report}"]
        paths = [str(plugin.parent), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        done = subprocess.run(
            [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True
        )
        if done.returncode not in (0, 1) or not report.exists():  # 1: some tests failed
            raise RuntimeError(f"pytest could not run {path_or_module}:\n{done.stdout[-3000:]}")
        cases = ElementTree.parse(report).iter("testcase")
        return [_row(case, not_applicable) for case in cases]


def _row(case, not_applicable):
    test = f"{case.get('classname')}.{case.get('name')}"
    problems = {child.tag: child.get("message", "") for child in case}
    if "skipped" in problems:
        return Row(test, SKIPPED, _first_line(problems["skipped"]))
    problem = problems.get("failure", problems.get("error"))
    if problem is None:
        return Row(test, PASSED)
    problem = _first_line(problem)
    for pattern, reason in not_applicable.items():
        if re.search(pattern, f"{test}: {problem}"):
            return Row(test, NOT_APPLICABLE, reason)
    return Row(test, FAILED, problem)


def _first_line(message):
    return next(iter(message.strip().splitlines()), "")


def print_table(rows):
    """Print each failure, the number of other tests by reason, and the total of each outcome."""
    for row in rows:
        if row.outcome == FAILED:
            print(f"failed          {row.test}: {row.reason}")
    for outcome in (NOT_APPLICABLE, SKIPPED):
        reasons = Counter(row.reason for row in rows if row.outcome == outcome)
        for reason, count in reasons.most_common():
            print(f"{outcome:<15} {count:>3}  {reason}")
    counts = Counter(row.outcome for row in rows)
    found = (f"{counts[outcome]} {outcome}" for outcome in (PASSED, FAILED, SKIPPED))
    print(f"{len(rows)} tests: {', '.join(found)}, {counts[NOT_APPLICABLE]} {NOT_APPLICABLE}")


def main(path_or_module, plugin, not_applicable):
    """Run a suite from a script: print the table, and exit with 1 if a test failed.

    Parameters
    ----------
    path_or_module, plugin, not_applicable : as in :func:`run_suite`
    """
    parser = argparse.ArgumentParser(description=f"Run {path_or_module} against skkd.")
    parser.add_argument("-k", metavar="EXPRESSION", help="only tests that match, as in pytest")
    chosen = parser.parse_args().k
    rows = run_suite(path_or_module, plugin, not_applicable, *(["-k", chosen] if chosen else []))
    print_table(rows)
    sys.exit(any(row.outcome == FAILED for row in rows))
