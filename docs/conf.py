"""How Sphinx builds these pages: sphinx-build -W --keep-going -b html docs BUILD_DIR."""

import sys
from pathlib import Path

import skkd

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "skkd"
author = "The skkd developers"
copyright = "The skkd developers"
version = release = skkd.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "matplotlib.sphinxext.plot_directive",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "skkd_docs",  # _ext/skkd_docs.py
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "py:obj"  # `alpha` in a docstring: a link where there is one, else code
add_module_names = False

html_theme = "furo"
html_title = f"skkd {release}"
html_show_sourcelink = False
html_copy_source = False

# The prompts of a doctest, and its output, are not copied.
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

# Docstrings. Sphinx lists the methods, not numpydoc.
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's Parameters say more
numpydoc_show_class_members = False

# Pictures of the guide.
plot_formats = [("png", 110)]
plot_html_show_formats = False
plot_html_show_source_link = False
plot_include_source = True
plot_rcparams = {
    "figure.figsize": (7.2, 3.0),
    "figure.constrained_layout.use": True,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.facecolor": "white",
}
plot_apply_rcparams = True

# The gallery. `-D plot_gallery=0` lists the examples without running them.
plot_gallery = "True"
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "ignore_pattern": r"(^|[\\/])(?!plot_)[^\\/]*\.py$",
    "filename_pattern": r"[\\/]plot_",
    "nested_sections": False,
    "within_subsection_order": "skkd_docs.reading_order",
    "reset_argv": "skkd_docs.quick_argv",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1,
}
