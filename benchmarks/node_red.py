"""Node-RED beside us: the same calls by its http-request node, kept alive, as many in flight as we have.

Installed by npm into `.local/node-red`, once, when node and npm are there; otherwise the comparison is left
out, and the table says so.
"""

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.runtime_api import cpu_seconds
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


def _lead_flows(calls: list[dict[str, str]]) -> list[dict[str, object]]:
    """POST /leads: check the body, make the calls one after the other, answer 201."""
    check = (
        f"const calls = {json.dumps(calls)};\n"
        "if (!msg.calls) {\n"
        "  const lead = msg.payload;\n"
        "  if (!lead.lastName || !/^[^@\\s]+@[^@\\s]+$/.test(lead.email || '')) {\n"
        "    msg.statusCode = 422; msg.payload = {title: 'invalid'}; return [null, msg];\n"
        "  }\n"
        "  msg.lead = lead; msg.answers = []; msg.calls = calls; msg.next = 0;\n"
        "} else msg.answers.push(msg.payload);\n"
        "if (msg.next === calls.length) {\n"
        "  msg.statusCode = 201; msg.headers = {};\n"
        "  msg.payload = {leadId: 'lea_1', customerId: 'cus_1', status: 'created', email: msg.lead.email};\n"
        "  return [null, msg];\n"
        "}\n"
        "const call = calls[msg.next++];\n"
        "msg.url = call.url; msg.method = 'POST'; msg.payload = call.body;\n"
        "msg.headers = {'content-type': 'application/x-amz-json-1.0', 'x-amz-target': call.target};\n"
        "return [msg, null];"
    )
    return [
        {"id": "tab", "type": "tab", "label": "leads"},
        {"id": "in", "z": "tab", "type": "http in", "url": "/leads", "method": "post", "wires": [["check"]]},
        {
            "id": "check", "z": "tab", "type": "function", "outputs": 2, "func": check,
            "wires": [["call"], ["out"]],
        },
        {"id": "out", "z": "tab", "type": "http response", "wires": []},
        {
            "id": "call", "z": "tab", "type": "http request", "method": "use", "ret": "obj", "url": "",
            "persist": True, "wires": [["check"]],
        },
        {"id": "health", "z": "tab", "type": "http in", "url": "/go", "method": "get", "wires": [["out"]]},
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
        return cpu_seconds(self.pid)


@contextmanager
def running(home: Path, port: int, *, in_flight: int) -> Iterator[NodeRed]:
    """Node-RED with the flow of the fan-out, until the block ends; its files are in `home`."""
    with _running(home, port, _flows(in_flight)) as red:
        yield red


@contextmanager
def running_leads(home: Path, port: int, calls: list[dict[str, str]]) -> Iterator[NodeRed]:
    """Node-RED with the flow of a lead, which takes these calls (`url`, `target`, `body`)."""
    with _running(home, port, _lead_flows(calls)) as red:
        yield red


@contextmanager
def _running(home: Path, port: int, flows: list[dict[str, object]]) -> Iterator[NodeRed]:
    (home / "flows.json").write_text(json.dumps(flows))
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
