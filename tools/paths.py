"""Where the tools read and write; everything lies inside the project."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
LOGS = LOCAL / "logs"
STACK_FILE = LOCAL / "stack.json"
EMULATOR_HOME = LOCAL / "emulator"
BUILD = ROOT / ".aws-sam" / "build"
BIN = Path(sys.executable).parent
