"""A headless Chromium that tests drive through chromedriver's HTTP interface (W3C WebDriver); no other package."""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--force-color-profile=srgb"),
)
# WebGPU by SwiftShader, the software that Chromium brings.
WEBGPU_FLAGS = (
    *(flag for flag in FLAGS if flag != "--disable-gpu"),
    *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
    *("--enable-features=Vulkan", "--use-vulkan=swiftshader"),
)
needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")),
    reason="needs Chromium: apt-get install chromium chromium-driver",
)


class Browser:
    """A session; `script` and the others raise RuntimeError with the driver's message."""

    def __init__(self, address, folder, flags):
        self._address = address
        preferences = {"download.default_directory": str(folder), "download.prompt_for_download": False}
        arguments = [*flags, f"--user-data-dir={folder / 'profile'}", "--window-size=1200,800"]
        options = {"args": arguments, "prefs": preferences, "binary": shutil.which("chromium")}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._post("/session", {"capabilities": {"alwaysMatch": wanted}})
        self._address += f"/session/{made['sessionId']}"

    def open(self, path):
        self._post("/url", {"url": path.resolve().as_uri()})
        wait(lambda: self.script("return document.documentElement.dataset.ready") == "yes")

    def script(self, text, *arguments):
        return self._post("/execute/sync", {"script": text, "args": list(arguments)})

    def resize(self, width, height):
        self._post("/window/rect", {"width": width, "height": height})

    def drag(self, *points, kind="mouse"):
        """Presses at the first point of the window, moves over the others, and releases."""
        moves = [{"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)} for x, y in points]
        steps = [moves[0], {"type": "pointerDown", "button": 0}, *moves[1:], {"type": "pointerUp", "button": 0}]
        source = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": steps}
        self._post("/actions", {"actions": [source]})

    def press(self, keys):
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("/actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})

    def prefer(self, scheme):
        """light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._post("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}})

    def complaints(self):
        """What the page has said on its console, and what of it was refused."""
        return [entry["message"] for entry in self._post("/se/log", {"type": "browser"})]

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._request("/screenshot", None)))

    def close(self):
        self._request("", None, "DELETE")

    def _post(self, path, body):
        return self._request(path, body, "POST")

    def _request(self, path, body, method="GET"):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._address + path, data, headers, method=method)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from error


@contextlib.contextmanager
def browser(folder, flags=FLAGS):
    """A browser that downloads into a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open(folder / "chromedriver.log", "w") as log:
        driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=log, stderr=log)
        try:
            address = ("127.0.0.1", port)
            wait(lambda: _answers(address))
            session = Browser(f"http://127.0.0.1:{port}", folder, flags)
            try:
                yield session
            finally:
                session.close()
        finally:
            driver.terminate()
            driver.wait()


def wait(condition, seconds=30):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "nothing came of it in time"
        time.sleep(0.02)


def _answers(address):
    try:
        socket.create_connection(address, 1).close()
    except OSError:
        return False
    return True
