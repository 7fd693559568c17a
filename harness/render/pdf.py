"""A page as PDF, printed by a headless Chromium that is installed."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.errors import SetupError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LIMIT_S = 120.0


def find_browser() -> str:
    """Raises SetupError: no Chromium is installed."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise SetupError(f"PDF needs Chromium ({', '.join(BROWSERS)}; Debian, Ubuntu: apt-get install chromium)")
    return browser


def pdf(html: str, browser: str) -> bytes:
    """The printed page. Nothing is fetched: the page holds all that it shows.

    Raises:
        SetupError: the browser failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        page, target = Path(folder, "index.html"), Path(folder, "page.pdf")
        page.write_text(html, encoding="utf-8")
        options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # it refuses to sandbox itself as root
            options.append("--no-sandbox")
        argv = [browser, *options, f"--print-to-pdf={target}", page.as_uri()]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=LIMIT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SetupError(f"{browser} printed no PDF: {error}") from error
        if not target.is_file():
            raise SetupError(f"{browser} printed no PDF (exit code {done.returncode}): {done.stderr.strip()[-300:]}")
        return target.read_bytes()
