"A WebDriver client in a page of standard library: enough to open pages in a headless Chromium and to ask what happened there."

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip


def find_browser() -> tuple[str, str] | None:  # paths of the browser and of its driver, or None
    "Find a Chromium or Chrome with its driver."
    browser = next((p for name in BROWSERS if (p := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


def free_port() -> int:  # a port nobody listens on
    "Ask the system for a free port."
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Browser:
    "A headless browser: `open`, `run` JavaScript, read the `events` of the network and the console, take a `screenshot`."

    def __init__(
        self,
        browser: str,  # path of the browser
        driver: str,  # path of its driver
        width: int = 1280,  # of the window, pixels
        height: int = 900,  # of the window, pixels
        dark: bool = False,  # ask for the dark scheme
    ):
        self.profile = tempfile.mkdtemp(prefix="handbook-browser-")
        port = free_port()
        self.process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{port}"
        self.wait_until_ready()
        options = {
            "binary": browser,
            "args": [*FLAGS, f"--user-data-dir={self.profile}", f"--window-size={width},{height}"],
            "perfLoggingPrefs": {"enableNetwork": True, "enablePage": False},
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = self.send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setEmulatedMedia", {"features": scheme})

    def wait_until_ready(self) -> None:
        "Wait for the driver to answer."
        for _ in range(100):
            try:
                if self.send("GET", "/status")["ready"]:
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("chromedriver does not answer")

    def send(
        self,
        method: str,  # of the HTTP request
        path: str,  # of the driver's interface
        body: dict | None = None,  # what to send
    ) -> object:  # the value that comes back
        "Send one command to the driver."
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def command(
        self,
        path: str,  # of the session's interface
        body: dict | None = None,  # what to send
    ) -> object:  # the value that comes back
        "Send one command to the session."
        return self.send("GET" if body is None else "POST", f"/session/{self.session}{path}", body)

    def devtools(
        self,
        name: str,  # of a DevTools command
        params: dict,  # its parameters
    ) -> object:  # what it answers
        "Send one DevTools command."
        return self.command("/goog/cdp/execute", {"cmd": name, "params": params})

    def open(
        self,
        url: str,  # of the page
    ) -> None:
        "Open a page, and wait until it has loaded."
        self.command("/url", {"url": url})

    def run(
        self,
        script: str,  # the body of a JavaScript function
        *args: object,  # its arguments
    ) -> object:  # what it returns
        "Run JavaScript in the page."
        return self.command("/execute/sync", {"script": script, "args": list(args)})

    def wait_for(
        self,
        script: str,  # the body of a JavaScript function
        seconds: float = 10.0,  # how long to wait
    ) -> object:  # the first true value
        "Wait until a script returns something true."
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.05)
        raise TimeoutError(f"never true: {script}")

    def resize(
        self,
        width: int,  # of the page, pixels
        height: int,  # of the page, pixels
    ) -> None:
        "Set the size of the page itself."
        self.devtools("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def events(self) -> tuple[list[str], list[dict]]:  # console messages, and DevTools events, since the last call
        "Read what the console and the network said."
        console = [f"{e['level']}: {e['message']}" for e in self.command("/se/log", {"type": "browser"})]
        network = [json.loads(e["message"])["message"] for e in self.command("/se/log", {"type": "performance"})]
        return console, network

    def screenshot(
        self,
        path: Path,  # a PNG file
        whole: bool = False,  # the whole page, not just the window
    ) -> None:
        "Save a picture of the page."
        shot = self.devtools("Page.captureScreenshot", {"captureBeyondViewport": whole})
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        "End the session and the driver."
        try:
            self.send("DELETE", f"/session/{self.session}")
        finally:
            self.process.terminate()
            self.process.wait(10)
            shutil.rmtree(self.profile, ignore_errors=True)
