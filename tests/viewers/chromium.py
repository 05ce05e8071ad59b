"""A headless Chromium for tests, driven over the Chrome DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/; needs nothing but the Debian package ``chromium``.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
_START_TIMEOUT_S = 60.0
_CALL_TIMEOUT_S = 60.0


def find_chromium() -> str | None:
    """Path of the browser, or None where there is none."""
    return next((path for name in EXECUTABLES if (path := shutil.which(name))), None)


class Chromium:
    """One browser with one page.

    Attributes:
        problems: errors the page wrote to its console, exceptions included.
        requests: addresses of everything the page loaded.
    """

    def __init__(self, profile: Path, size: tuple[int, int] = (1280, 800)) -> None:
        """``profile``: empty folder for the browser's files; ``size``: width and height of the page."""
        executable = find_chromium()
        assert executable is not None
        self._log = (profile / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            [executable, *FLAGS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}", "about:blank"],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._profile, self._size = profile, size
        self._count = 0
        self.problems: list[str] = []
        self.requests: list[str] = []

    def __enter__(self) -> Chromium:
        from websockets.sync.client import connect

        port, path = self._debugging_address()
        self._socket = connect(f"ws://127.0.0.1:{port}{path}", max_size=None)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = self._size
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._socket.close()
        self._log.close()

    def open(self, url: str) -> None:
        """Goes to an address."""
        self.call("Page.navigate", url=url)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A method of the protocol on the page."""
        return self._call(method, self._session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click_label(self, text: str) -> None:
        """Clicks the switch or button whose label is ``text``."""
        found = self.evaluate(
            f"""(() => {{
              const own = e => e.children.length == 0 && e.textContent.trim() == {json.dumps(text)};
              const label = [...document.querySelectorAll('label, span, button, div')].find(own);
              if (!label) return false;
              const box = e => e.querySelector('input[type=checkbox]');
              let row = label;
              while (row && !box(row) && !row.closest('button')) row = row.parentElement;
              (label.closest('button') || box(row)).click();
              return true;
            }})()"""
        )
        assert found, f"the page has no '{text}'"

    def screenshot(self, path: Path | None = None) -> NDArray[np.uint8]:
        """uint8 [H, W, 3] RGB of the page; also written to ``path``."""
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        request = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(request | ({"sessionId": session} if session else {})))
        while True:
            message = json.loads(self._socket.recv(timeout=_CALL_TIMEOUT_S))
            if message.get("id") == self._count:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        kind, parameters = event.get("method"), event.get("params", {})
        if kind == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif kind == "Network.webSocketCreated":
            self.requests.append(parameters["url"])
        elif kind == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"])[:1000])
        elif kind == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            self.problems.append(" ".join(str(item.get("value", item)) for item in parameters["args"]))
        elif kind == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")

    def _debugging_address(self) -> tuple[int, str]:
        """Port and path of the browser's socket, which it writes into its profile once it listens."""
        file = self._profile / "DevToolsActivePort"
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            lines = file.read_text().split() if file.exists() else []
            if len(lines) == 2:
                return int(lines[0]), lines[1]
            assert self._process.poll() is None, (self._profile / "chromium.log").read_text()
            time.sleep(0.05)
        raise TimeoutError(f"{self._process.args} did not start: {(self._profile / 'chromium.log').read_text()}")
