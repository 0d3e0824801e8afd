"""One module for each vendor's wire API. A connector never imports another."""

import os
from functools import cache

from switchboard.crm import CrmConnector
from switchboard.dynamo import Table


@cache
def crm() -> CrmConnector:
    """The CRM that this deployment works for, by the parameter CrmConnector."""
    match os.environ["CRM_CONNECTOR"]:
        case "builtin":
            from switchboard.connectors.builtin_crm import BuiltinCrm

            return BuiltinCrm(Table(os.environ["CRM_TABLE"]))
        case "siebel":
            from switchboard.connectors.siebel import connect

            return connect(Table(os.environ["STATE_TABLE"]))
        case other:
            raise ValueError(f"there is no CRM connector {other!r}")
