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

# Disable what Chromium itself would request from the network.
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
    """Open pages and report errors and requests."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = DESK, dark: bool = False, scripts: bool = True) -> None:
        """Open a file at a width, optionally with a dark screen or without scripts."""
        self.requests()  # forget earlier ones
        self.driver.get_log("browser")
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media="", features=[scheme])
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.send("Emulation.setDeviceMetricsOverride", **screen)
        self.driver.get(page.as_uri())

    def run(self, code: str, *arguments: Any) -> Any:
        """Run JavaScript from outside the page, bypassing its policy, and return the result."""
        return self.driver.execute_script(code, *arguments)

    def send(self, command: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(command, parameters)

    def keys(self, *keys: str) -> None:
        """Press keys, one after another."""
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def complaints(self) -> list[str]:
        """Return the messages of the console: errors, warnings, violations of the policy."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the network requests of the page that the policy did not block."""
        messages = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        parameters: dict[str, list[dict[str, Any]]] = {}
        for message in messages:
            parameters.setdefault(message["method"], []).append(message["params"])
        blocked = {
            f["requestId"]
            for f in parameters.get("Network.loadingFailed", [])
            if f.get("blockedReason") == "csp"
        }
        sent = [a for a in parameters.get("Network.requestWillBeSent", []) if a["requestId"] not in blocked]
        urls = [a["request"]["url"] for a in sent if a["request"]["url"] != a["documentURL"]]
        return [url for url in urls if url != "data:,"]  # the empty icon

    def box(self, selector: str) -> dict[str, float]:
        """Return the position of the first matching element."""
        code = "return document.querySelector(arguments[0]).getBoundingClientRect().toJSON()"
        box: dict[str, float] = self.run(code, selector)
        return box

    def text(self, selector: str = "main") -> str:
        """Return the text of the first matching element."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def is_seen(self, selector: str) -> bool:
        """Return whether the first matching element is visible."""
        return bool(self.run("return document.querySelector(arguments[0]).checkVisibility()", selector))

    def overflows(self) -> bool:
        """Return whether the page has to be scrolled sideways."""
        code = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.run(code))

    def pdf(self) -> bytes:
        """Return the printed page."""
        return base64.b64decode(self.send("Page.printToPDF")["data"])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser; without one, tests are skipped, or fail in CI."""
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
