"""Settings of Sphinx, which builds the docs site (`make docs-site`): Markdown by MyST, the theme furo, no network."""

project = "doubleback"
extensions = ["myst_parser"]
myst_heading_anchors = 6
exclude_patterns = ["examples"]
html_theme = "furo"
html_title = "doubleback"
html_show_sphinx = False
html_copy_source = False
