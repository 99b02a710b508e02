"""Libraries that only some formats need, imported when they are needed."""

from importlib import import_module
from typing import Any

__all__ = ["library"]


def library(name: str, purpose: str, install: str = "'skkd[export]'") -> Any:
    """Import a library of the extra `export`.

    Parameters
    ----------
    name : str
        The name of the module.
    purpose : str
        What needs the library, for the error message.
    install : str, default="'skkd[export]'"
        What pip installs the library with.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If the library is not installed. The message names the extra.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        message = f"{purpose} needs {package}: pip install {install}."
        raise ImportError(message, name=package) from error
