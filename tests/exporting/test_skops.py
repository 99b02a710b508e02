"""Files of skops: written so that skops reads them, and read with a fixed list of types."""

import io
import json
import zipfile

import numpy as np
import pytest
from exported_cases import fitted
from sklearn.naive_bayes import GaussianNB
from skops import io as skops_io

import skkd
from skkd.exporting.skops import TRUSTED


@pytest.mark.parametrize("case", ["mixed table", "no preprocessing"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_skops_loads_the_classifier_and_trusts_one_type(case, dtype, tmp_path):
    clf, X = fitted(case)
    path = tmp_path / "clf.skops"
    clf.export(path, dtype=dtype)
    assert skops_io.get_untrusted_types(file=path) == list(TRUSTED)
    loaded, ours = skops_io.load(path, trusted=list(TRUSTED)), skkd.load(path)
    assert type(loaded) is type(ours)
    assert np.array_equal(loaded.predict_proba(X), ours.predict_proba(X))
    assert loaded.predict(X).tolist() == ours.predict(X).tolist()
    assert loaded.schema.to_dict() == ours.schema.to_dict()


def test_two_files_of_a_classifier_are_equal(tmp_path):
    for name in "ab":
        fitted("mixed table")[0].export(tmp_path / f"{name}.skops")
    assert (tmp_path / "a.skops").read_bytes() == (tmp_path / "b.skops").read_bytes()


def refused(path, data, reason):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"(?s)cannot be loaded: it is damaged.*{reason}"):
        skkd.load(path)


def test_other_types_are_refused(tmp_path):
    clf, X = fitted("labels from 1")
    model = GaussianNB().fit(X[:, :1], clf.predict(X))
    path = tmp_path / "clf.skops"
    refused(path, skops_io.dumps(model), "not trusted: sklearn.naive_bayes.GaussianNB")
    refused(path, skops_io.dumps(clf), "not trusted: skkd.estimators.neural.NeuralClassifier")


class Trap:
    """Leaves a trace if it is made."""

    made = False

    def __setstate__(self, state):
        Trap.made = True


@pytest.fixture
def parts(tmp_path):
    """The description of a good file, and its other members."""
    fitted("labels from 1")[0].export(tmp_path / "good.skops")
    with zipfile.ZipFile(tmp_path / "good.skops") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(members.pop("schema.json")), members


def zipped(tree, members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, member in {"schema.json": json.dumps(tree), **members}.items():
            archive.writestr(name, member)
    return file.getvalue()


def test_a_good_file_put_together_again_is_loaded(parts, tmp_path):
    (tmp_path / "clf.skops").write_bytes(zipped(*parts))
    assert skkd.load(tmp_path / "clf.skops").n_features_in_ == 4


def test_nothing_in_a_file_is_made_or_called(parts, tmp_path):
    tree, members = parts
    path, state = tmp_path / "clf.skops", tree["content"]["content"]
    trap = {"__module__": __name__, "__class__": "Trap", "__loader__": "ObjectNode"}
    call = {"__module__": "os", "__class__": "abort", "__loader__": "FunctionNode"}
    for wrong in (trap | {"content": state["header"]}, call):
        for name in ("header", "more"):
            changed = json.loads(json.dumps(tree))
            changed["content"]["content"][name] = wrong
            refused(path, zipped(changed, members), "not trusted")
    changed = json.loads(json.dumps(tree))
    changed["content"]["content"]["header"]["__loader__"] = "MethodNode"
    refused(path, zipped(changed, members), "not trusted: builtins.str by MethodNode")
    refused(path, zipped(trap, {}), "not trusted")
    assert not Trap.made


def test_members_must_be_those_that_are_described(parts, tmp_path):
    tree, members = parts
    path, (first, *_) = tmp_path / "clf.skops", members
    refused(path, zipped(tree, members | {"more.npy": b""}), "members are not those")
    refused(path, zipped(tree, {k: v for k, v in members.items() if k != first}), "members are not")
    refused(path, zipped(tree, members, zipfile.ZIP_DEFLATED), "compressed")
    changed = members | {first: members[first][:-1] + bytes([members[first][-1] ^ 1])}
    refused(path, zipped(tree, changed), "does not match its digest")
    refused(path, zipped([tree], members), "")
    deep = json.loads("[" * 900 + "]" * 900)
    refused(path, zipped(tree | {"more": deep, "content": {}}, members), "KeyError")


def test_two_members_of_one_name_are_refused(parts, tmp_path):
    file = io.BytesIO(zipped(*parts))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("schema.json", "{}")
    refused(tmp_path / "clf.skops", file.getvalue(), "two members have the same name")
