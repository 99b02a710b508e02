"""Batches: every row comes once, and batches are slices."""

import itertools

import numpy as np
import pytest
import torch
from scipy import sparse

from skkd import NeuralClassifier
from skkd.preprocessing.preprocessor import fit_preprocessor
from skkd.presets import PRESETS
from skkd.training.batches import Batches, Rows, batch_bounds

N_ROWS = 23


def make_rows(n_rows=N_ROWS, dtype=torch.float32):
    """Rows with their number in the first column and in the labels."""
    X = np.column_stack([np.arange(n_rows), np.arange(n_rows) ** 2]).astype(np.float64)
    targets = {"labels": np.arange(n_rows), "weights": np.linspace(0, 1, n_rows)}
    return Rows(X, targets, dtype=dtype)


def numbers_of(batches):
    return [X[:, 0].int().tolist() for X, _ in batches]


@pytest.mark.parametrize("shuffles", [False, True], ids=["in_order", "shuffled"])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 11, 22, 23, 24, 100])
def test_every_row_comes_exactly_once_with_its_targets(batch_size, shuffles):
    generator = torch.Generator().manual_seed(0) if shuffles else None
    batches = Batches(make_rows(), batch_size, generator)
    seen = []
    for X, targets in batches:
        assert X[:, 0].int().tolist() == targets["labels"].tolist()
        np.testing.assert_allclose(targets["weights"], targets["labels"] / (N_ROWS - 1), rtol=1e-6)
        seen += targets["labels"].tolist()
    assert sorted(seen) == list(range(N_ROWS))
    assert len(batches) == len(batch_bounds(N_ROWS, batch_size))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_without_a_generator_rows_keep_their_order(batch_size):
    seen = numbers_of(Batches(make_rows(), batch_size))
    assert list(itertools.chain(*seen)) == list(range(N_ROWS))


def test_each_pass_is_shuffled_and_a_seed_decides_the_order():
    def two_passes():
        batches = Batches(make_rows(), 5, torch.Generator().manual_seed(0))
        return numbers_of(batches), numbers_of(batches)

    first, second = two_passes()
    assert first != second
    assert two_passes() == (first, second)


@pytest.mark.parametrize("batch_size", [23, 24, 1000])
def test_a_single_batch_of_all_rows_is_never_shuffled(batch_size):
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert numbers_of(Batches(make_rows(), batch_size, generator)) == [list(range(N_ROWS))]
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [
        (9, 4, [4, 5]),
        (10, 4, [4, 4, 2]),
        (5, 4, [5]),
        (1, 4, [1]),
        (4, 4, [4]),
        (3, 1, [1, 1, 1]),
        (2, 1, [1, 1]),
        (3, 2, [3]),
    ],
)
def test_a_last_batch_of_one_row_is_merged_into_the_one_before(n_rows, batch_size, sizes):
    assert [stop - start for start, stop in batch_bounds(n_rows, batch_size)] == sizes
    assert [len(batch) for batch in numbers_of(Batches(make_rows(n_rows), batch_size))] == sizes


def with_transfer_set(n_labelled, n_others):
    """Numbered rows, of which the first `n_labelled` have labels."""
    rows = make_rows(n_labelled + n_others)
    rows.n_labelled = n_labelled
    return rows


@pytest.mark.parametrize("shuffles", [False, True], ids=["in_order", "shuffled"])
@pytest.mark.parametrize("n_others", [1, 7, 9, 10, 11, 20, 34, 100])
@pytest.mark.parametrize("batch_size", [1, 3, 4, 10, 99])
def test_each_pass_has_all_labelled_rows_and_the_others_in_turn(batch_size, n_others, shuffles):
    n_labelled = 10
    generator = torch.Generator().manual_seed(0) if shuffles else None
    batches = Batches(with_transfer_set(n_labelled, n_others), batch_size, generator)
    n_new = min(n_others, n_labelled)
    n_passes = -(-n_others // n_labelled)
    turns = []
    for _ in range(2 * n_passes):
        seen = list(itertools.chain(*numbers_of(batches)))
        assert sorted(row for row in seen if row < n_labelled) == list(range(n_labelled))
        turns.append([row for row in seen if row >= n_labelled])
        assert len(turns[-1]) == len(set(turns[-1])) == n_new
    others = set(range(n_labelled, n_labelled + n_others))
    assert set(itertools.chain(*turns[:n_passes])) == others
    counts = np.bincount(list(itertools.chain(*turns)), minlength=n_labelled + n_others)
    assert np.ptp(counts[n_labelled:]) <= 1  # all come equally often, up to one time


@pytest.mark.parametrize("n_others", [1, 2, 5, 13, 40, 1000])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 12, 13, 39, 40])
@pytest.mark.parametrize("n_labelled", [2, 13, 14, 27, 40])
def test_a_pass_has_as_many_batches_with_a_transfer_set_as_without(
    n_labelled, batch_size, n_others
):
    alone = [len(batch) for batch in numbers_of(Batches(make_rows(n_labelled), batch_size))]
    batches = Batches(with_transfer_set(n_labelled, n_others), batch_size)
    sizes = [len(batch) for batch in numbers_of(batches)]
    assert len(sizes) == len(alone) == len(batches)
    assert sum(sizes) == n_labelled + min(n_labelled, n_others) == batches.rows.n_per_pass
    for size, of_labelled in zip(sizes, alone, strict=True):
        assert of_labelled <= size <= 2 * of_labelled + 1
    if n_others >= n_labelled:
        assert sizes == [2 * size for size in alone]


def test_a_pass_over_all_rows_keeps_their_order_and_the_place_in_the_transfer_set():
    rows = with_transfer_set(5, 20)
    for _ in range(3):
        looking = Batches(rows, 6, takes_turns=False)
        assert list(itertools.chain(*numbers_of(looking))) == list(range(25))
        assert len(looking) == len(batch_bounds(25, 6))
    assert rows.turn == 0
    assert numbers_of(Batches(rows, 5)) == [[0, 5, 1, 6, 2, 7, 3, 8, 4, 9]]
    assert numbers_of(Batches(rows, 5)) == [[0, 10, 1, 11, 2, 12, 3, 13, 4, 14]]


def test_rows_in_their_order_have_labelled_ones_in_every_batch():
    for batch in numbers_of(Batches(with_transfer_set(20, 60), 4)):
        assert sum(number < 20 for number in batch) == len(batch) // 2


@pytest.mark.parametrize("n_others", [3, 30])
def test_sparse_rows_of_a_transfer_set_come_as_dense_ones(n_others):
    X = sparse.random_array((10 + n_others, 6), density=0.3, rng=0, format="csr")
    view = fit_preprocessor("auto", X, None)
    targets = {"labels": np.arange(10 + n_others)}
    kinds = [
        Batches(rows, 4, torch.Generator().manual_seed(0))
        for rows in (
            Rows(X, targets, preprocessor=view, n_labelled=10),
            Rows(view.transform(X), targets, n_labelled=10),
        )
    ]
    for (of_sparse, codes), (dense, expected) in zip(*kinds, strict=True):
        assert codes["labels"].tolist() == expected["labels"].tolist()
        torch.testing.assert_close(of_sparse, dense)


@pytest.mark.parametrize("batch_size", [2, 3, 8])
@pytest.mark.parametrize("n_rows", range(2, 40))
def test_no_batch_has_a_single_row_and_none_is_much_too_large(n_rows, batch_size):
    sizes = [stop - start for start, stop in batch_bounds(n_rows, batch_size)]
    assert sum(sizes) == n_rows
    assert min(sizes) >= 2
    assert max(sizes) <= batch_size + 1


@pytest.mark.parametrize("shuffles", [False, True], ids=["in_order", "shuffled"])
def test_sparse_rows_come_as_dense_ones(shuffles):
    X = sparse.random_array((30, 6), density=0.3, rng=0, format="csr")
    view = fit_preprocessor("auto", X, None)
    labels = {"labels": np.arange(30)}
    kinds = [
        Batches(rows, 7, torch.Generator().manual_seed(0) if shuffles else None)
        for rows in (Rows(X, labels, preprocessor=view), Rows(view.transform(X), labels))
    ]
    for (of_sparse, targets), (dense, expected) in zip(*kinds, strict=True):
        assert targets["labels"].tolist() == expected["labels"].tolist()
        assert of_sparse.dtype == torch.float32
        torch.testing.assert_close(of_sparse, dense)


@pytest.mark.parametrize("preset", PRESETS)
def test_large_sparse_rows_train_the_same_network_as_small_ones(preset, monkeypatch):
    X = sparse.random_array((60, 8), density=0.3, rng=0, format="csr")
    y = np.arange(60) % 3
    clf = NeuralClassifier(
        (4,), preset=preset, max_epochs=3, batch_size=16, random_state=0, dtype="float64"
    )
    expected = clf.fit(X, y).predict_proba(X)
    monkeypatch.setattr("skkd.training.fit.DENSE_BYTES", 0)
    np.testing.assert_allclose(clf.fit(X, y).predict_proba(X), expected, atol=1e-10)
    np.testing.assert_allclose(clf.fit(X.toarray(), y).predict_proba(X), expected, atol=1e-10)


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


ODD_ARRAYS = {
    "read-only": read_only,
    "negative-stride": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "fortran": np.asfortranarray,
    "every-second": lambda X: np.repeat(X, 2, axis=0)[::2],
}


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("make", ODD_ARRAYS.values(), ids=ODD_ARRAYS)
def test_arrays_of_any_layout_become_tensors(make, dtype):
    X = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    weights = make(X)[:, 1]
    rows = Rows(make(X), {"labels": np.arange(2), "weights": weights})
    torch.testing.assert_close(rows.X.double(), torch.tensor(X).double())
    torch.testing.assert_close(rows.targets["weights"].double(), torch.tensor(X[:, 1]).double())


def test_tensors_never_write_into_read_only_rows():
    X = read_only(np.ones((2, 2), dtype=np.float32))
    Rows(X, {"labels": np.arange(2)}).X.zero_()
    assert (X == 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_take_the_dtype_and_labels_stay_integers(dtype):
    X, targets = make_rows(dtype=dtype).take(slice(0, 4))
    assert X.dtype == targets["weights"].dtype == dtype
    assert targets["labels"].dtype == torch.int64


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_skorch_can_still_fetch_one_row(kind):
    rows = make_rows()
    if kind == "sparse":
        X = sparse.csr_array(np.diag(np.arange(1.0, 5)))
        rows = Rows(X, {"labels": np.arange(4)}, preprocessor=fit_preprocessor(None, X, None))
    X, label = rows[3]
    assert X.shape == (len(rows.X[[0]].toarray()[0]) if kind == "sparse" else 2,)
    assert int(label) == int(rows.y[3]) == 3


@pytest.mark.parametrize("module", [None, torch.nn.Linear], ids=["built-in", "custom"])
def test_training_never_fetches_rows_one_by_one(iris_like, monkeypatch, module):
    fetched, batches = [], []
    take = Rows.take
    monkeypatch.setattr(Rows, "__getitem__", lambda self, row: fetched.append(row))
    monkeypatch.setattr(Rows, "take", lambda self, rows: batches.append(1) or take(self, rows))
    options = {"module__in_features": 4, "module__out_features": 3} if module else {}
    clf = NeuralClassifier(
        (4,), module=module, max_epochs=2, batch_size=30, early_stopping=True, **options
    )
    clf.fit(*iris_like).predict_proba(iris_like[0])
    assert not fetched
    assert len(batches) <= 2 * (3 + 1) + 1
