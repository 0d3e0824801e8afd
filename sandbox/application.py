"""The sandbox as one aiohttp application."""

from collections.abc import Iterable

from aiohttp import web

from sandbox.control import Control
from sandbox.desk import Desk
from sandbox.vendor import Vendor


def create_application(vendors: Iterable[Vendor], *, tls_url: str | None = None) -> web.Application:
    """Mount each vendor at its prefix, with the control plane beside them, all in their first state.

    ``tls_url`` is where the same is served with bad TLS, if it is.
    """
    desks = {vendor.name: Desk(vendor) for vendor in vendors}
    application = web.Application()
    application.add_routes(Control(desks, tls_url).routes())
    for desk in desks.values():
        desk.reset()
        application.add_subapp(desk.vendor.prefix, desk.application())
    return application
