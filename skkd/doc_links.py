"""Links from scikit-learn's HTML view of an object to its page of the reference."""

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
    "skkd.preprocessing",
    "skkd.schedules",
    "skkd.transfer",
)


class DocLinkMixin:
    """What scikit-learn reads to link to a page; it comes before `BaseEstimator`.

    A class that is not public has no page and no link; a class of the user's own has none,
    either.
    """

    @property
    def _doc_link_module(self):
        return "skkd" if DOCS_URL and _public_module(type(self)) else ""

    @property
    def _doc_link_template(self):
        return DOCS_URL + "/api/generated/{module}.{name}.html"  # docs/api/*.rst

    def _doc_link_url_param_generator(self):
        return {"module": _public_module(type(self)), "name": type(self).__name__}


def _public_module(kind):
    """Name of the public module that exports a class, or None."""
    name = kind.__name__
    for module in filter(None, map(sys.modules.get, PUBLIC)):
        if name in module.__all__ and getattr(module, name) is kind:
            return module.__name__
    return None
