"""The README's code runs, the guide's names exist; public names have numpydoc docstrings."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skkd
from skkd import NeuralClassifier, doc_links
from skkd.transfer.resolve import Foreign

ROOT = Path(__file__).parents[2]
API = ROOT / "docs" / "api"
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUICKSTART = (ROOT / "examples" / "quickstart.py").read_text(encoding="utf-8")
PYTHON_BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
FROM_MLP = (ROOT / "docs" / "guide" / "from_mlp.rst").read_text(encoding="utf-8")
PARAMETERS = FROM_MLP.partition("All parameters\n---")[2]
ROW = re.compile(r"^   \* - (.*)\n     - (.*(?:\n       .*)*)$", flags=re.MULTILINE)
TABLE = ROW.findall(PARAMETERS)[1:]


def test_python_blocks_of_the_readme_run_in_order(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # they write files
    names = {"__name__": "__readme__"}
    for code in PYTHON_BLOCKS:
        exec(compile(code, "README.md", "exec"), names)
        assert float(capsys.readouterr().out) > 0.9


def test_the_first_example_prints_the_lines_of_the_readme():
    printed = re.search(r'^YOUR_OWN = """\n(.*?)"""', QUICKSTART, flags=re.MULTILINE | re.DOTALL)
    lines = printed.group(1).splitlines()
    assert len(lines) == 3
    assert set(lines) <= set("".join(PYTHON_BLOCKS).splitlines())


def names_in(text):
    """The identifiers in backticks, without values: ``lr_decay="cosine"`` is lr_decay."""
    codes = re.findall(r"``([^`]*)``", text)
    return [name for code in codes for name in re.findall(r"^[A-Za-z_]\w*(?==|$)", code)]


def test_the_table_for_users_of_mlp_classifier_names_real_parameters():
    assert len(TABLE) > 10
    for theirs, ours in TABLE:
        known = {*NeuralClassifier().get_params(), *attributes_of(NeuralClassifier)}
        taken_from_theirs = names_in(theirs)
        for name in names_in(ours):
            is_option = name.startswith(("optimizer__", "module__"))
            assert name in known or name in taken_from_theirs or is_option, name
        known = {*MLPClassifier().get_params(), *attributes_of(MLPClassifier), "StandardScaler"}
        assert set(taken_from_theirs) <= known


def test_the_lists_for_users_of_mlp_classifier_name_real_parameters():
    ours = {*NeuralClassifier().get_params(), "fit"}
    ours |= set(inspect.signature(NeuralClassifier.fit).parameters)
    theirs = set(MLPClassifier().get_params())
    kept = names_in(PARAMETERS.partition("keep\ntheir names")[0])
    added = names_in(PARAMETERS.partition("``MLPClassifier`` does not have:")[2].partition(". ")[0])
    assert len(kept) > 5
    assert len(added) > 5
    assert set(kept) <= ours & theirs
    assert set(added) <= ours - theirs


def test_every_parameter_is_listed_for_users_of_mlp_classifier():
    listed = set(names_in(PARAMETERS))
    assert set(NeuralClassifier().get_params()) - listed == set()
    assert set(MLPClassifier().get_params()) - listed == set()


def test_optimizer_options_for_users_of_mlp_classifier_are_arguments_of_an_optimiser():
    import torch

    arguments = set()
    for kind in (torch.optim.Adam, torch.optim.LBFGS):
        arguments |= set(inspect.signature(kind).parameters)
    options = re.findall(r"``optimizer__(\w+)``", PARAMETERS)
    assert set(options) <= arguments
    assert options


def attributes_of(estimator_class):
    return documented(sections_of(estimator_class)["Attributes"])


def sections_of(thing):
    """The sections of a numpydoc docstring by title."""
    lines = inspect.cleandoc(thing.__doc__ or "").splitlines()
    starts = [i for i, line in enumerate(lines) if i and re.fullmatch("-{3,}", line)]
    ends = [start - 1 for start in starts[1:]] + [len(lines)]
    return {
        lines[start - 1]: lines[start + 1 : end] for start, end in zip(starts, ends, strict=True)
    }


def documented(section):
    """The names that a Parameters or Attributes section describes."""
    section = "\n".join(section).replace("\\\n", "").splitlines()  # lists may be continued
    heads = [line.partition(" : ")[0] for line in section if line and not line.startswith(" ")]
    return [name.strip() for head in heads for name in head.split(",")]


def public_things():
    public = ("losses", "schedules", "initializers", "modules", "preprocessing", "transfer")
    for module in (skkd, *(importlib.import_module(f"skkd.{name}") for name in public)):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield pytest.param(thing, id=f"{module.__name__}.{name}")


def parameters_of(thing):
    """Names as they are written in a signature, `*` and `**` included."""
    signs = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    if inspect.isclass(thing) and thing.__init__ is object.__init__:
        return []
    parameters = inspect.signature(thing).parameters.values()
    return [signs.get(p.kind, "") + p.name for p in parameters]


@pytest.mark.parametrize("thing", list(public_things()))
def test_public_names_have_numpydoc_docstrings(thing):
    assert inspect.cleandoc(thing.__doc__ or "").partition("\n")[0].endswith((".", "`"))
    sections = sections_of(thing)
    if parameters_of(thing):
        assert documented(sections["Parameters"]) == parameters_of(thing)
    if inspect.isfunction(thing) and "return " in inspect.getsource(thing):
        assert sections["Returns"]
    assert any(">>> " in line for line in sections["Examples"])


@pytest.mark.parametrize("thing", list(public_things()))
def test_public_methods_have_docstrings(thing):
    if not inspect.isclass(thing):
        return
    for name, method in inspect.getmembers(thing, inspect.isfunction):
        if name.startswith("_") or not (method.__module__ or "").startswith("skkd"):
            continue
        if name in ("forward", "extra_repr"):  # torch's
            continue
        assert inspect.getdoc(method), f"{thing.__name__}.{name}"


def classes_with_an_html_view():
    """(class, name of its page) of all public classes with scikit-learn's HTML view."""
    public_modules = filter(inspect.ismodule, (getattr(skkd, name) for name in skkd.__all__))
    for module in (skkd, *public_modules):
        for name in module.__all__:
            public = getattr(module, name)
            if inspect.isclass(public) and issubclass(public, BaseEstimator):
                yield public, f"{module.__name__}.{name}"


@pytest.mark.parametrize(("public", "page"), list(classes_with_an_html_view()))
def test_the_html_view_of_a_public_class_links_to_its_page(public, page, monkeypatch):
    thing = public(*([skkd.schedules.Constant()] if public is skkd.schedules.WarmUp else []))
    assert thing._get_doc_link() == ""  # no link while the pages are not published
    monkeypatch.setattr(doc_links, "DOCS_URL", "https://docs.example.org")
    address = f"https://docs.example.org/api/generated/{page}.html"
    assert thing._get_doc_link() == address
    assert f'href="{address}"' in thing._repr_html_()
    module, _, name = page.rpartition(".")
    source = API / ("index.rst" if module == "skkd" else module.removeprefix("skkd.") + ".rst")
    lists = re.findall(r":toctree: generated\n(?: .*\n|\n)*", source.read_text(encoding="utf-8"))
    assert any(f"   {name}\n" in listed for listed in lists)


def test_the_link_is_in_the_html_view_of_a_pipeline(monkeypatch):
    monkeypatch.setattr(doc_links, "DOCS_URL", "https://docs.example.org")
    html = make_pipeline(StandardScaler(), skkd.DistilledClassifier())._repr_html_()
    assert "https://docs.example.org/api/generated/skkd.DistilledClassifier.html" in html
    assert "https://scikit-learn.org" in html


def test_classes_without_a_page_have_no_link(monkeypatch):
    monkeypatch.setattr(doc_links, "DOCS_URL", "https://docs.example.org")

    class OfTheUser(skkd.schedules.Schedule):
        pass

    assert OfTheUser()._get_doc_link() == ""
    assert Foreign(len)._get_doc_link() == ""
