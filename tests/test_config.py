"""The parameters of the estimators and the fields of their configurations are the same."""

import inspect
from dataclasses import fields

import pytest

from skkd import DistilledClassifier, NeuralClassifier
from skkd.config import DERIVED, Config, DistilledConfig


@pytest.mark.parametrize(
    ("estimator_class", "config_class"),
    [(NeuralClassifier, Config), (DistilledClassifier, DistilledConfig)],
)
def test_parameters_and_fields_have_the_same_names_and_defaults(estimator_class, config_class):
    parameters = inspect.signature(estimator_class).parameters.values()
    defaults = {
        one.name: one.default for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD
    }
    of_fields = {one.name: one.default for one in fields(config_class) if one.name not in DERIVED}
    assert of_fields == defaults
    assert {name: type(value) for name, value in of_fields.items()} == {
        name: type(value) for name, value in defaults.items()
    }
