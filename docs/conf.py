"""How Sphinx builds these pages; `make docs` runs it."""

from __future__ import annotations

import vagus

project = "Vagus"
author = "the Vagus authors"
project_copyright = "the Vagus authors, Apache-2.0"
release = version = vagus.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.mermaid",
]
html_theme = "furo"
html_title = "Vagus"
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Written as GitHub understands it: a fence whose language is mermaid.
myst_fence_as_directive = ["mermaid"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
# Docstrings write code in single backticks, as Markdown does.
default_role = "literal"

# Links to our own names must resolve; other projects' names would need a network to be looked up.
# What the engine is made of is for readers of its code, and not in the reference.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!vagus\.).*"),
    (r"py:.*", r"vagus\.runtime\.(topic|topology|worker)\..*"),
    (r"py:.*", r"vagus\.services\.asking\.Desk"),
    (r"py:.*", r"vagus\.services\.views\.(declare\.(Source|ViewType)|view\.(ServiceView|Status))"),
    # Variables of types have no page.
    (r"py:.*", r"vagus\.services\.(decider\.State|views\.rows\.R)"),
]
