"""The registry: every module of this package that defines a ``Vendor`` is served.

Modules whose name begins with an underscore are helpers and are passed over.
"""

import importlib
import inspect
import pkgutil

from sandbox.vendor import Vendor


def load() -> tuple[Vendor, ...]:
    """Make one fresh instance of every vendor, ordered by name.

    Raises ``ValueError`` when two vendors share a name or a prefix.
    """
    vendors = sorted((kind() for kind in _kinds()), key=lambda vendor: vendor.name)
    for attribute in ("name", "prefix"):
        values = [getattr(vendor, attribute) for vendor in vendors]
        if len(set(values)) != len(values):
            raise ValueError(f"two vendors share a {attribute}: {', '.join(values)}")
    return tuple(vendors)


def _kinds() -> list[type[Vendor]]:
    found: list[type[Vendor]] = []
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        found += [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, Vendor)
            and not inspect.isabstract(kind)
            and kind.__module__ == module.__name__
        ]
    return found
