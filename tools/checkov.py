"""checkov over the expanded template, from an environment of its own: it is heavy, and pins much.

What it is told to leave out stands in `.checkov.yaml`, each with its reason. Without `uvx` this says so and
fails: a check that did not run is not passed.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.paths import LOCAL, ROOT

VERSION = "3.2"


def main() -> int:
    """Expand, scan, tell."""
    from tests.support import template

    beside = ROOT / ".local" / "uv" / "bin" / "uvx"
    uvx = shutil.which("uvx") or (str(beside) if beside.exists() else None)
    if uvx is None:
        print("checkov was not run: there is no uvx")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        expanded = Path(folder) / "template.json"
        expanded.write_text(json.dumps(template.expand(), indent=1))
        command = [uvx, "--from", f"checkov~={VERSION}", "checkov", "--file", str(expanded)]
        command += ["--framework", "cloudformation", "--config-file", str(ROOT / ".checkov.yaml")]
        command += ["--compact", "--quiet", "--skip-download"]
        environment = os.environ | {"UV_TOOL_DIR": str(LOCAL / "uv-tools")}
        done = subprocess.run(command, check=False, env=environment)
    if done.returncode == 0:
        print("no finding")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
