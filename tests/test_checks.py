"""Checks of parameters: the values that pass, and the messages for all others."""

import math

import numpy as np
import pytest

from skkd.checks import (
    check_flag,
    check_instance,
    check_integer,
    check_number,
    check_option,
    refuse,
)


def message(error, check, *args, **kwargs):
    with pytest.raises(error) as refusal:
        check("x", *args, **kwargs)
    assert type(refusal.value) is error
    return str(refusal.value)


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_a_refusal_names_parameter_value_and_what_is_allowed(error):
    with pytest.raises(error) as refusal:
        refuse("alpha", "high", "a number in [0, 1]", error)
    assert str(refusal.value) == "alpha='high' is not allowed: give a number in [0, 1]."


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.5), np.float64(1), np.int64(0)])
def test_numbers_within_bounds_pass(value):
    check_number("x", value, low=0, high=1)
    check_number("x", value)


@pytest.mark.parametrize(
    ("bounds", "outside", "allowed"),
    [
        ({}, [math.nan], "a number"),
        ({"low": 0}, [-1e-9, math.nan, -math.inf], "a number >= 0"),
        ({"low": 0, "low_open": True}, [0, 0.0, -1], "a number > 0"),
        ({"high": 1}, [1.5, math.nan, math.inf], "a number <= 1"),
        ({"high": 1, "high_open": True}, [1, 2], "a number < 1"),
        ({"low": 0, "high": 1}, [-0.1, 1.1, math.nan], "a number in [0, 1]"),
        ({"low": 0, "high": 1, "low_open": True}, [0, 1.1], "a number in (0, 1]"),
        ({"low": 0, "high": 1, "high_open": True}, [-0.1, 1], "a number in [0, 1)"),
        ({"low": 0, "high": 1, "low_open": True, "high_open": True}, [0, 1], "a number in (0, 1)"),
    ],
)
def test_numbers_outside_of_bounds_are_refused_with_the_bounds(bounds, outside, allowed):
    for value in outside:
        expected = f"x={value!r} is not allowed: give {allowed}."
        assert message(ValueError, check_number, value, **bounds) == expected


@pytest.mark.parametrize("value", ["1", None, True, np.True_, 1j, [1], np.array([0.5])])
def test_other_types_than_numbers_are_a_type_error(value):
    expected = f"x={value!r} is not allowed: give a number in [0, 1]."
    assert message(TypeError, check_number, value, low=0, high=1) == expected


@pytest.mark.parametrize("value", [1, 5, np.int64(3), np.uint8(1)])
def test_integers_within_bounds_pass(value):
    check_integer("x", value, low=1, high=5)
    check_integer("x", value)


@pytest.mark.parametrize(
    ("bounds", "outside", "allowed"),
    [
        ({"low": 1}, 0, "an integer >= 1"),
        ({"high": 5}, 6, "an integer <= 5"),
        ({"low": 1, "high": 5}, 6, "an integer in [1, 5]"),
    ],
)
def test_integers_outside_of_bounds_are_refused_with_the_bounds(bounds, outside, allowed):
    expected = f"x={outside} is not allowed: give {allowed}."
    assert message(ValueError, check_integer, outside, **bounds) == expected


@pytest.mark.parametrize("value", [1.0, np.float64(1), "1", None, True])
def test_other_types_than_integers_are_a_type_error(value):
    expected = f"x={value!r} is not allowed: give an integer >= 1."
    assert message(TypeError, check_integer, value, low=1) == expected


@pytest.mark.parametrize("value", [True, False, np.True_, np.bool_(False)])
def test_flags_of_python_and_numpy_pass(value):
    check_flag("x", value)


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_other_types_than_flags_are_a_type_error(value):
    expected = f"x={value!r} is not allowed: give True or False."
    assert message(TypeError, check_flag, value) == expected


@pytest.mark.parametrize("value", ["adam", np.str_("sgd")])
def test_options_pass(value):
    check_option("x", value, ("adam", "sgd"))


@pytest.mark.parametrize("value", ["Adam", "", None, 1, ["adam"]])
def test_a_value_that_is_no_option_is_refused_with_all_options(value):
    expected = f"x={value!r} is not allowed: give one of 'adam', 'sgd'."
    assert message(ValueError, check_option, value, ("adam", "sgd")) == expected


def test_instances_pass():
    check_instance("x", [1], list, "a list")


@pytest.mark.parametrize("value", [list, (1,), None])
def test_anything_but_an_instance_is_a_type_error(value):
    expected = f"x={value!r} is not allowed: give a list."
    assert message(TypeError, check_instance, value, list, "a list") == expected
