"""Node-RED beside us: the same calls by its http-request node, kept alive, as many in flight as we have.

Installed by npm into `.local/node-red`, once, when node and npm are there; otherwise the comparison is left
out, and the table says so.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.paths import LOCAL

HOME = LOCAL / "node-red"
VERSION = "4"
_RED = HOME / "node_modules" / "node-red" / "red.js"
_MESSAGE = "{left: %s, url: %s, method: 'GET', headers: {}}"


def available() -> bool:
    """Whether Node-RED is there, or can be installed now."""
    if _RED.exists():
        return True
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    HOME.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(HOME), f"node-red@{VERSION}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _flows(in_flight: int) -> list[dict[str, object]]:
    start = "if (!msg.payload.url) return [null, msg];\n"
    start += f"const left = msg.payload.calls / {in_flight};\nconst all = [];\n"
    first = _MESSAGE % ("left", "msg.payload.url + '?AccountID=a&CaseID=c'")
    start += f"for (let i = 0; i < {in_flight}; i++) all.push({first});\n"
    start += "return [all, msg];"
    again = f"if (msg.left > 1) return {_MESSAGE % ('msg.left - 1', 'msg.url')};"
    return [
        {"id": "tab", "type": "tab", "label": "fan-out"},
        {"id": "in", "z": "tab", "type": "http in", "url": "/go", "method": "get", "wires": [["start"]]},
        {
            "id": "start", "z": "tab", "type": "function", "outputs": 2, "func": start,
            "wires": [["call"], ["out"]],
        },
        {"id": "out", "z": "tab", "type": "http response", "wires": []},
        {
            "id": "call", "z": "tab", "type": "http request", "method": "use", "ret": "txt", "url": "",
            "persist": True, "wires": [["again"]],
        },
        {"id": "again", "z": "tab", "type": "function", "outputs": 1, "func": again, "wires": [["call"]]},
    ]  # fmt: skip


@dataclass(frozen=True)
class NodeRed:
    """A running Node-RED."""

    port: int
    pid: int

    def go(self, url: str, calls: int) -> None:
        """Begin to make so many calls."""
        query = f"http://127.0.0.1:{self.port}/go?calls={calls}&url={url}"
        urllib.request.urlopen(query, timeout=30).close()

    def cpu_seconds(self) -> float:
        """What it has used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(home: Path, port: int, *, in_flight: int) -> Iterator[NodeRed]:
    """Node-RED with the flow, until the block ends; its files are in `home`."""
    (home / "flows.json").write_text(json.dumps(_flows(in_flight)))
    (home / "settings.js").write_text(
        f"module.exports = {{uiPort: {port}, uiHost: '127.0.0.1', flowFile: 'flows.json',"
        " httpAdminRoot: false, logging: {console: {level: 'off'}}, diagnostics: {enabled: false}}"
    )
    node = shutil.which("node") or "node"
    process = subprocess.Popen(
        [node, str(_RED), "--userDir", str(home)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield NodeRed(port, process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/go?calls=0", timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("Node-RED does not come up")
