"""A report as pages: Markdown, HTML, plots, terminal. Nothing here computes a number."""
