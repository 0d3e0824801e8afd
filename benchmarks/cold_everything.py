"""A function as it is when everything is imported at its top: the whole shared layer and its libraries.

What `from switchboard import …` of a package that imports its modules costs, and `import boto3, httpx, …`
where they are used once in a while: that is how most functions are written, and how `sam build` leaves them.
"""

import importlib
import os
import pkgutil

_LIBRARIES = (
    *("boto3", "botocore.config", "httpx", "defusedxml.ElementTree", "orjson", "phonenumbers", "pydantic"),
    *("nacl.signing", "aws_lambda_powertools.event_handler", "aws_lambda_powertools.metrics"),
)


def _everything_below(name: str) -> None:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, f"{name}."):
        importlib.import_module(module.name)


for _library in _LIBRARIES:
    importlib.import_module(_library)
_everything_below("switchboard")
_everything_below(f"functions.{os.environ['STEP']}")
lambda_handler = importlib.import_module(f"functions.{os.environ['STEP']}.app").lambda_handler
