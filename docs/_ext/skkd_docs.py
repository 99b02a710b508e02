"""What these pages need beside Sphinx: an order of examples, and no public name forgotten."""

import importlib
import os
import re
from pathlib import Path

#: The examples in the order in which they are best read; any others follow.
EXAMPLES = (
    "plot_teachers.py",
    "plot_grid_search.py",
    "plot_temperature.py",
    "plot_initialization.py",
    "plot_lr_decay.py",
    "plot_regularization.py",
)

#: The page of docs/api that lists the names of a module's `__all__`.
API_PAGES = {
    "skkd": "index.rst",
    "skkd.losses": "losses.rst",
    "skkd.schedules": "schedules.rst",
    "skkd.initializers": "initializers.rst",
    "skkd.modules": "modules.rst",
    "skkd.transfer": "transfer.rst",
    "skkd.preprocessing": "preprocessing.rst",
}


def reading_order(filename):
    """Sort key of an example."""
    name = Path(filename).name
    return (EXAMPLES.index(name) if name in EXAMPLES else len(EXAMPLES), name)


def quick_argv(gallery_conf, script_vars):
    """Command line of every example: the gallery shows the quick runs."""
    return ["--quick"]


def check_api_pages(app):
    """Every public name is on its page of the reference, and no other."""
    from sphinx.errors import ExtensionError  # pytest imports this file without Sphinx

    for module, page in API_PAGES.items():
        text = (Path(app.srcdir) / "api" / page).read_text(encoding="utf-8")
        listed = set(re.findall(r"^(?:   |\.\. (?:auto)?data:: )(\w+)$", text, flags=re.MULTILINE))
        public = set(importlib.import_module(module).__all__)
        if listed != public:
            raise ExtensionError(
                f"docs/api/{page} does not list what {module} exports: "
                f"missing {sorted(public - listed)}, unknown {sorted(listed - public)}"
            )


def join_continued_lines(app, what, name, obj, options, lines):
    """A line that ends in a backslash goes on in the next, as in a Python string."""
    joined = "\n".join(lines)
    lines[:] = re.sub(r"\\\n *", "", joined).split("\n")


def skip_what_others_wrote(app, what, name, obj, skip, options):
    """Methods that come from scikit-learn or torch are described there."""
    is_request = re.fullmatch(r"set_\w+_request", name)  # scikit-learn's metadata routing
    module = getattr(obj, "__module__", None) or "skkd"
    is_torchs = name in ("forward", "extra_repr")
    return True if is_request or is_torchs or not module.startswith("skkd") else None


def read_markdown(app, path, parent, content):
    """What the changelog uses of Markdown, as reStructuredText: headings, code and links."""
    if path.suffix != ".md":
        return
    text = re.sub(r"`([^`]+)`", r"``\1``", content[0])
    text = re.sub(r"\[([^]]+)\]\(([^)]+)\)", r"`\1 <\2>`__", text)
    for level, line in enumerate("=-~", start=1):
        heading = re.compile(rf"^#{{{level}}} (.+)$", flags=re.MULTILINE)
        text = heading.sub(lambda found, line=line: f"{found[1]}\n{line * len(found[1])}", text)
    content[0] = text


def setup(app):
    """Sphinx calls this."""
    os.environ["TQDM_DISABLE"] = "1"  # no progress bars among what the examples print
    app.connect("include-read", read_markdown)
    app.connect("builder-inited", check_api_pages)
    app.connect("autodoc-skip-member", skip_what_others_wrote)
    app.connect("autodoc-process-docstring", join_continued_lines, priority=100)
    return {"parallel_read_safe": True}
