"""Pictures of a page as a browser shows it, for people who look at it and for the docs.

    python scripts/pictures.py runs/first/report.html pictures
    python scripts/pictures.py report.html docs --only light dark --part "#samples" --press j j Enter --tall 1400

Writes FOLDER/NAME-light.png, -dark, -narrow and -print, each of the whole page unless --part selects an element or
--tall cuts it. Needs a Chromium (scripts/browser.sh).
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from playwright.sync_api import Page
from support.pages.browser import VIEWS, find_chromium, open_browser, opened


def main() -> None:
    """Take the pictures that were asked for, and say what the page complained of or asked the network for."""
    arguments = read_arguments()
    executable = find_chromium()
    if executable is None:
        sys.exit("there is no Chromium; scripts/browser.sh installs one where apt-get has it, or set CHROMIUM")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with open_browser(executable) as browser:
        for view in arguments.only:
            with opened(browser, arguments.page, view) as watched:
                out = arguments.folder / f"{arguments.page.stem}-{view}.png"
                take(watched.page, out, arguments)
                print(out, *watched.complaints, *watched.requests, sep="\n  ")


def take(page: Page, out: Path, arguments: argparse.Namespace) -> None:
    """Click, press, and take one picture."""
    for selector in arguments.click:
        page.locator(selector).first.click()
    for key in arguments.press:
        page.keyboard.press(key)
    page.wait_for_load_state("networkidle")
    page.evaluate("scrollTo(0, 0)")  # what sticks to the top stands where it belongs
    if arguments.part:
        page.locator(arguments.part).first.screenshot(path=out)
    elif arguments.tall:
        width = page.viewport_size["width"]
        page.screenshot(path=out, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": arguments.tall})
    else:
        page.screenshot(path=out, full_page=True)


def read_arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="the HTML file")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--only", nargs="+", choices=VIEWS, default=list(VIEWS), help="these views alone")
    parser.add_argument("--part", help="CSS selector of the element that is pictured")
    parser.add_argument("--click", nargs="+", default=[], help="CSS selectors that are clicked before")
    parser.add_argument("--press", nargs="+", default=[], help="keys that are pressed before, after the clicks")
    parser.add_argument("--tall", type=int, help="no more than so many pixels from the top")
    return parser.parse_args()


if __name__ == "__main__":
    main()
