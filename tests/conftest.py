"""Small data that several tests share, and settings of the tools."""

import os

os.environ["MPLBACKEND"] = "Agg"  # before anything imports matplotlib
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: pytest runs a process for each core

import numpy as np
import pytest
from hypothesis import settings

# A first fit imports torch, which takes longer than any deadline.
settings.register_profile("skkd", deadline=None, derandomize=True)
settings.load_profile("skkd")


@pytest.fixture
def iris_like():
    """(X, y): 90 rows of three overlapping clouds with 4 features on unlike scales."""
    random_state = np.random.RandomState(0)
    y = np.repeat([0, 1, 2], 30)
    centres = np.array([[0, 0, 0, 0], [2, 1, 0, 0], [3, 3, 1, 0]])
    X = (centres[y] + random_state.standard_normal((90, 4))) * [1, 10, 0.1, 1]
    order = random_state.permutation(90)
    return X[order], y[order]


@pytest.fixture
def iris_like_table(iris_like):
    """(X, y): the same rows as a DataFrame with gaps and categories; labels are strings."""
    pd = pytest.importorskip("pandas")
    X, y = iris_like
    table = pd.DataFrame(X.copy(), columns=["length", "width", "depth", "noise"])
    table.loc[::7, "width"] = np.nan
    table["colour"] = np.array(["red", "green", "blue"])[(y + (np.arange(90) % 4 == 0)) % 3]
    table.loc[::11, "colour"] = None
    table["big"] = X[:, 0] > 1.5
    return table, np.array(["setosa", "versicolor", "virginica"])[y]
