"""How the site is made: see ``build.py``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "_ext")]

from editions import EDITIONS  # noqa: E402

import polyloss  # noqa: E402

project = "polyloss"
author = "the authors of polyloss"
version = release = polyloss.__version__
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "mathml",
    "loss_pages",
    "bug_pages",
    "api_pages",
    "contents",
    "names",
    "pictures",
    "explorer",
    "chinese",
]

html_math_renderer = "mathml"
default_role = "py:obj"
add_module_names = False
add_function_parentheses = False
python_maximum_signature_line_length = 80
toc_object_entries = False
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
suppress_warnings = ["myst.header"]

numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Those within the site are proved without a network: tests/test_site.py.
linkcheck_ignore = [r"(?!https:)"]
linkcheck_timeout = 20
linkcheck_report_timeouts_as_broken = True

html_context = {"default_mode": "auto", "editions": EDITIONS}
html_theme = "pydata_sphinx_theme"
html_title = "polyloss"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
# Pages without others below them.
html_sidebars: dict[str, list[str]] = {page: [] for page in ("index", "bugs", "docs/explorer")}
html_theme_options = {
    "navbar_align": "left",
    "navbar_end": ["edition-switch", "theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "back_to_top_button": False,
}
