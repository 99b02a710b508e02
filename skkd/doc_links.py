"""Links from scikit-learn's HTML display of an object to its page in the reference."""

import sys

__all__ = ["DocLinkMixin"]

#: Where the pages of docs/ are published, without a slash at the end. They are not published
#: yet: an empty string gives no links.
DOCS_URL = ""

#: Modules of classes that have a page.
PUBLIC = (
    "skkd",
    "skkd.initializers",
    "skkd.losses",
    "skkd.losses",
    "skkd.preprocessing",
    "skkd.schedules",
    "skkd.transfer",
)


class DocLinkMixin:
    """The attributes that scikit-learn reads to make a link; list it before `BaseEstimator`.

    Only public classes have a page, so private classes and the user's subclasses have no link.
    """

    @property
    def _doc_link_module(self) -> str:
        return "skkd" if DOCS_URL and _public_module(type(self)) else ""

    @property
    def _doc_link_template(self) -> str:
        return DOCS_URL + "/api/generated/{module}.{name}.html"  # docs/api/*.rst

    def _doc_link_url_param_generator(self) -> dict[str, str | None]:
        return {"module": _public_module(type(self)), "name": type(self).__name__}


def _public_module(kind: type) -> str | None:
    """Name of the public module that exports a class, or None."""
    name = kind.__name__
    for module in filter(None, map(sys.modules.get, PUBLIC)):
        if name in module.__all__ and getattr(module, name) is kind:
            return module.__name__
    return None
