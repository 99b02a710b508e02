"""A file is written whole, and only if it answers like the classifier."""

import os
import pickle
import stat

import numpy as np
import pytest
from exported_cases import fitted
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import skkd
from skkd import NeuralClassifier
from skkd.exporting import atomic
from skkd.exporting.formats import FORMATS, Format
from skkd.exporting.runners import NetworkRunner
from skkd.exporting.verify import VerificationError
from skkd.inference.network import Network


class Wrong(NetworkRunner):
    """Answers otherwise for rows whose first number is large."""

    def run(self, rows):
        labels, probabilities = super().run(rows)
        is_large = np.nan_to_num(rows[:, 0]) > 10
        probabilities[is_large] = probabilities[is_large][:, ::-1]
        labels = self.schema.classes[probabilities.argmax(axis=1)]
        return labels, probabilities


@pytest.fixture
def wrong_format(monkeypatch):
    """An .npz format whose file answers otherwise."""
    right = FORMATS[".npz"]

    def read(data):
        runner = right.read(data)
        return Wrong(runner.network, runner.schema)

    monkeypatch.setitem(FORMATS, ".npz", Format(right.write, read))


def test_a_file_that_answers_otherwise_is_not_written(wrong_format, tmp_path):
    clf, X = fitted("labels from 1")
    path = tmp_path / "clf.npz"
    path.write_bytes(b"old")
    n_wrong = int((X[:, 0] > 10).sum())
    with pytest.raises(VerificationError) as caught:
        clf.export(path, X=X)
    message = str(caught.value)
    assert f"{n_wrong} of 120 rows differ, probabilities by up to" in message
    first = int(np.flatnonzero(X[:, 0] > 10)[0])
    assert f"\n  row {first}, [{X[first, 0]:.7g}, " in message
    assert ": classifier " in message and ", file " in message
    assert message.count("\n  row ") == 3
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["clf.npz"]


def test_drawn_rows_find_what_is_wrong_too(wrong_format, tmp_path):
    with pytest.raises(VerificationError, match="of 256 rows differ"):
        fitted("labels from 1")[0].export(tmp_path / "clf.npz")


def test_given_rows_decide_alone(wrong_format, tmp_path):
    clf, X = fitted("labels from 1")
    assert clf.export(tmp_path / "clf.npz", X=X[X[:, 0] < 10]) < 1e-5


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_an_existing_file_stays_whole_if_writing_fails(step, existing, monkeypatch, tmp_path):
    path = tmp_path / "clf.npz"
    if existing:
        path.write_bytes(b"old")

    def fail(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr(atomic.os, step, fail)
    with pytest.raises(OSError, match="no space left"):
        fitted("labels from 1")[0].export(path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == ([b"old"] if existing else [])


@pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")
def test_a_file_keeps_its_permissions_and_its_link(tmp_path):
    clf, _ = fitted("labels from 1")
    target, link = tmp_path / "target.npz", tmp_path / "link.npz"
    clf.export(target)
    plain = tmp_path / "plain"
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode
    target.chmod(0o640)
    link.symlink_to(target)
    clf.export(link)
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert skkd.load(link).n_features_in_ == 4


def test_the_format_may_be_named(tmp_path):
    clf, _ = fitted("labels from 1")
    clf.export(tmp_path / "model.bin", format="npz")
    clf.export(str(tmp_path / "model.NPZ"))
    assert (tmp_path / "model.bin").read_bytes() == (tmp_path / "model.NPZ").read_bytes()


def test_wrong_arguments_name_what_is_allowed(tmp_path):
    clf, X = fitted("labels from 1")
    with pytest.raises(ValueError, match=r"path='.*clf.bin' is not allowed.*\.onnx"):
        clf.export(tmp_path / "clf.bin")
    with pytest.raises(ValueError, match=r"format='pickle' is not allowed: give one of \.onnx"):
        clf.export(tmp_path / "clf.npz", format="pickle")
    with pytest.raises(ValueError, match="dtype='float16' is not allowed"):
        clf.export(tmp_path / "clf.npz", dtype="float16")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        clf.export(tmp_path / "nowhere" / "clf.npz")
    with pytest.raises(ValueError, match="X has 3 features"):
        clf.export(tmp_path / "clf.npz", X=X[:, :3])
    with pytest.raises(NotFittedError):
        NeuralClassifier().export(tmp_path / "clf.npz")
    for format in (["npz"], 3):
        with pytest.raises(ValueError, match=r"format=.* is not allowed: give one of \.onnx"):
            clf.export(tmp_path / "clf.npz", format=format)
    for path in (None, 3):
        with pytest.raises(TypeError, match=f"path={path} is not allowed: give a str or"):
            clf.export(path)
    hint = r"Of a search, give best_estimator_; skl2onnx converts a Pipeline"
    for model in ([], make_pipeline(clf), LogisticRegression, None):
        with pytest.raises(TypeError, match=rf"model=[^~]*: give a fitted Neural.*{hint}"):
            skkd.export(model, tmp_path / "clf.npz")
    with pytest.raises(ValueError, match="dtype='float16' is not allowed"):
        clf.exports_to(dtype="float16")
    assert os.listdir(tmp_path) == []


def test_a_network_is_exported_like_its_classifier(tmp_path):
    clf, _ = fitted("mixed table")
    for name, thing in {"a": clf, "b": clf.network_}.items():
        skkd.export(thing, tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_network_without_classes_is_refused(tmp_path):
    network = fitted("labels from 1")[0].network_
    bare = Network(network.preprocessor, network.architecture, network.state)
    with pytest.raises(ValueError, match="the network has no classes"):
        skkd.export(bare, tmp_path / "clf.npz")
    described = bare.described(np.array([1, 2, 10]))
    skkd.export(described, tmp_path / "clf.npz")
    assert skkd.load(tmp_path / "clf.npz").classes_.tolist() == [1, 2, 10]


@pytest.mark.parametrize("case", ["mixed table", "table of numbers"])
def test_a_classifier_of_an_old_pickle_is_exported(case, tmp_path):
    clf, _ = fitted(case)
    clf.export(tmp_path / "new.npz")
    old = pickle.loads(pickle.dumps(clf))
    del vars(old.network_)["classes"], vars(old.network_)["feature_names"]
    assert set(old.exports_to().values()) == {None}
    skkd.export(old, tmp_path / "old.npz")
    assert (tmp_path / "old.npz").read_bytes() == (tmp_path / "new.npz").read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_what_is_no_file_is_not_replaced(tmp_path):
    pipe, folder = tmp_path / "pipe.npz", tmp_path / "folder.npz"
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (pipe, folder):
        with pytest.raises(OSError, match="is no regular file"):
            fitted("labels from 1")[0].export(path)
    (tmp_path / "code.c").mkdir()
    with pytest.raises(OSError, match=r"code.c' is no regular file"):
        fitted("labels from 1")[0].export(tmp_path / "code.c")
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [tmp_path / "code.c", folder, pipe]


@pytest.mark.skipif(os.name != "posix", reason="only there folders are flushed")
def test_a_folder_that_cannot_be_flushed_is_no_error(monkeypatch, tmp_path):
    flush = os.fsync

    def fail_for_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError("not supported")
        flush(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", fail_for_folders)
    fitted("labels from 1")[0].export(tmp_path / "clf.npz")
    assert skkd.load(tmp_path / "clf.npz").n_features_in_ == 4


def test_exporting_does_not_change_the_classifier(tmp_path):
    clf, X = fitted("mixed table")
    before = clf.predict_proba(X)
    for ending in (".onnx", ".npz", ".safetensors"):
        clf.export(tmp_path / f"clf{ending}")
    assert np.array_equal(clf.predict_proba(X), before)
