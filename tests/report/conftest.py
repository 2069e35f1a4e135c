"""A real browser for the tests of pages: Debian's Chromium, headless, one for the whole session."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DESK, PHONE, SMALL_PHONE = 1280, 390, 320

# What Chromium itself would ask the network for.
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)


class Browser:
    """Opens pages, and tells what they did."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = DESK, dark: bool = False, scripts: bool = True) -> None:
        """Opens a file at a width; a dark screen if asked for, or without scripts."""
        self.requests()  # what was before
        self.driver.get_log("browser")
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media="", features=[scheme])
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.send("Emulation.setDeviceMetricsOverride", **screen)
        self.driver.get(page.as_uri())

    def run(self, code: str, *arguments: Any) -> Any:
        """Runs JavaScript that returns something; from outside of the page, past its policy."""
        return self.driver.execute_script(code, *arguments)

    def send(self, command: str, **parameters: Any) -> Any:
        """Sends a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def keys(self, *keys: str) -> None:
        """Presses keys, one after another."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """What stands in the console: errors, warnings, breaches of the policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """What the page asked the network for, beside itself, and what the policy did not hold back."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        held: dict[str, list[dict[str, Any]]] = {}
        for message in messages:
            held.setdefault(message["method"], []).append(message["params"])
        stopped = {
            f["requestId"] for f in held.get("Network.loadingFailed", []) if f.get("blockedReason") == "csp"
        }
        asked = [a for a in held.get("Network.requestWillBeSent", []) if a["requestId"] not in stopped]
        urls = [a["request"]["url"] for a in asked if a["request"]["url"] != a["documentURL"]]
        return [url for url in urls if url != "data:,"]  # the icon that is none

    def box(self, selector: str) -> dict[str, float]:
        """Where the first element that fits is."""
        code = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
        found: dict[str, float] = self.run(code, selector)
        return found

    def text(self, selector: str = "main") -> str:
        """The text of the first element that fits, as it is in the page."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def is_seen(self, selector: str) -> bool:
        """Whether the first element that fits is shown."""
        return bool(self.run("return document.querySelector(arguments[0]).checkVisibility()", selector))

    def overflows(self) -> bool:
        """Whether the page has to be scrolled sideways."""
        code = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.run(code))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.send("Page.printToPDF")["data"])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser; where there is none, a reason to skip, and in CI to fail."""
    places = shutil.which("chromium"), shutil.which("chromedriver")
    if None in places:
        reason = "no chromium and chromedriver (on Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(places[0])
    for argument in (*_QUIET, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(places[1])))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
