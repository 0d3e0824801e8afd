"""Start the AWS emulator under the plain interpreter: ``python -P emulator.py SITE_PACKAGES``.

The emulator runs each function with its own interpreter. Under the one of ``.venv`` a function would
find every development package there, and a dependency missing from the layer would go unnoticed until
AWS. Under the base interpreter functions see the layer and nothing else; the emulator itself is given
the directory of its packages.

The emulator unpacks the layer anew for each worker, some 2,500 files in the one process that also answers
every AWS call: half a second in which the whole stack waits, fifty times when fifty calls come at once. Here
each archive is unpacked once, and a worker gets links to it.
"""

import hashlib
import runpy
import site
import sys
import tempfile
import threading
import types
import zipfile
from importlib import import_module
from pathlib import Path

_unpacked: dict[str, Path] = {}
_lock = threading.Lock()


class SharedArchive(zipfile.ZipFile):
    """An archive whose unpacked files are shared by all who unpack it; it names its top level only."""

    def namelist(self) -> list[str]:
        return sorted({name.partition("/")[0] for name in super().namelist()})

    def extractall(self, path: object = None, members: object = None, pwd: object = None) -> None:
        """Link each entry of the top level into ``path`` (a directory that is there)."""
        tree = self._tree()
        for entry in tree.iterdir():
            Path(str(path), entry.name).symlink_to(entry)

    def _tree(self) -> Path:
        content = Path(str(self.filename)).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with _lock:
            if digest not in _unpacked:
                tree = Path(tempfile.mkdtemp(prefix="unpacked-"))
                with zipfile.ZipFile(str(self.filename)) as archive:
                    archive.extractall(tree)
                _unpacked[digest] = tree
            return _unpacked[digest]


def share_archives() -> None:
    """Have the emulator's workers unpack by :class:`SharedArchive`."""
    runtime = import_module("ministack.core.lambda_runtime")
    if runtime.zipfile is not zipfile:
        raise RuntimeError("this release of the emulator unpacks in another way: look at share_archives")
    shared = types.ModuleType("zipfile")
    shared.__dict__.update(vars(zipfile), ZipFile=SharedArchive)
    runtime.__dict__["zipfile"] = shared


if __name__ == "__main__":
    site.addsitedir(sys.argv.pop(1))
    share_archives()
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
