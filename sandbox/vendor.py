"""What a stand-in for one vendor has to state."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from aiohttp import web


class Vendor(ABC):
    """One vendor: where it is mounted, what it answers, what it remembers, how it is logged in to.

    A subclass lives in a module of its own under ``sandbox/vendors/``; that is all it takes to be served.

    ``name`` is the word used in the control plane's paths. ``prefix`` is where the routes are mounted
    (``/siebel``). ``base_path`` is the vendor's own fixed path below it (``/siebel/v1.0``), part of
    ``baseUrl`` but written out in ``routes``. ``secret_output`` is the stack output that holds the id of
    the secret for this vendor's connector, or None where no connector logs in.
    """

    name: ClassVar[str]
    prefix: ClassVar[str]
    base_path: ClassVar[str] = ""
    secret_output: ClassVar[str | None] = None
    credentials: ClassVar[Mapping[str, str]] = {}

    @abstractmethod
    def routes(self) -> Iterable[web.RouteDef]:
        """The routes below ``prefix``, in aiohttp's form: ``web.get("/contacts/{id}", self.get_contact)``."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything that calls have changed, and seed the first state again."""

    def control_routes(self) -> Iterable[web.RouteDef]:
        """More control routes, mounted below ``/_control/{name}``; none unless a vendor overrides this."""
        return ()

    def base_url(self, origin: str) -> str:
        """The vendor's base URL for a sandbox at ``origin`` (``http://127.0.0.1:8600``), no slash behind."""
        return f"{origin.rstrip('/')}{self.prefix}{self.base_path}"

    def secret(self, origin: str) -> dict[str, str]:
        """The connector's secret: ``baseUrl`` at ``origin`` and the credentials that the stand-in accepts."""
        return {"baseUrl": self.base_url(origin), **self.credentials}
