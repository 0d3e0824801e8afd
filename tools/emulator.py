"""Start the AWS emulator under the plain interpreter: ``python -P emulator.py SITE_PACKAGES``.

The emulator runs each function with its own interpreter. Under the one of ``.venv`` a function would
find every development package there, and a dependency missing from the layer would go unnoticed until
AWS. Under the base interpreter functions see the layer and nothing else; the emulator itself is given
the directory of its packages.
"""

import runpy
import site
import sys

if __name__ == "__main__":
    site.addsitedir(sys.argv.pop(1))
    runpy.run_module("ministack", run_name="__main__", alter_sys=True)
