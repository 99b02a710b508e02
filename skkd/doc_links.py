"""Links from scikit-learn's HTML display of an estimator to its page in the API reference."""

import sys

__all__ = ["DocLinkMixin"]

#: Where the pages of docs/ are published, without a slash at the end. They are not published
#: yet: an empty string gives no links.
DOCS_URL = ""

#: Public modules, in which each public class has a page.
PUBLIC = (
    "skkd",
    "skkd.initializers",
    "skkd.losses",
    "skkd.modules",
    "skkd.preprocessing",
    "skkd.schedules",
    "skkd.transfer",
)


class DocLinkMixin:
    """Mixin that links the HTML display of an object to the documentation page of its class.

    It overrides the attributes that scikit-learn reads to build the link, so it must precede
    `BaseEstimator` in the list of base classes. Only public classes have a page: private
    classes and the user's subclasses get no link.
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
    """Return the name of the public module that exports a class, or None if no module does."""
    name = kind.__name__
    for module in filter(None, map(sys.modules.get, PUBLIC)):
        if name in module.__all__ and getattr(module, name) is kind:
            return module.__name__
    return None
