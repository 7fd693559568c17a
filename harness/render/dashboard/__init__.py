"""A history as a static site that opens from a file: `site.write_dashboard` is the way in."""
