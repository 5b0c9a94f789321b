"""Photographs the page for the documentation: python -m tests.browser.pictures"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.browser.driver import ROOT, choose, chromium, open_page, paint, served

PICTURES = ROOT / "docs" / "pictures"

_SHOTS: dict[str, dict[str, object]] = {
    "desktop": {"viewport": {"width": 1440, "height": 1060}},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2},
    "dark": {"viewport": {"width": 1440, "height": 1060}, "color_scheme": "dark"},
}


def main() -> None:
    """Write docs/pictures/page-*.png."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as cache, served(Path(cache)) as address, chromium() as browser:
        for name, options in _SHOTS.items():
            page = browser.new_page(**options)  # type: ignore[arg-type]
            open_page(page, address)
            choose(page, ROOT / "examples" / "coffee.jpg")
            paint(page)
            page.mouse.move(0, 0)
            page.wait_for_timeout(800)
            page.screenshot(path=PICTURES / f"page-{name}.png")
            if name == "desktop":
                page.locator("#compare-view").screenshot(path=PICTURES / "page-closer.png")
            page.close()


if __name__ == "__main__":
    main()
