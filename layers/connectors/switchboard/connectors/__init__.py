"""One module for each vendor's wire API. A connector never imports another."""

import os
from functools import cache
from typing import TYPE_CHECKING

from switchboard.crm import CrmConnector
from switchboard.dynamo import Table

if TYPE_CHECKING:
    from switchboard.connectors.crowdtwist import CrowdTwist
    from switchboard.connectors.questionpro import QuestionPro


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


@cache
def loyalty() -> "CrowdTwist":
    """The loyalty programme, as `settings/members` says how to speak to it."""
    from switchboard.connectors.crowdtwist import CrowdTwist
    from switchboard.settings import store
    from switchboard.settings.members import MemberSettings

    return CrowdTwist(lambda: store.current("members", MemberSettings))


@cache
def survey_vendor() -> "QuestionPro":
    """QuestionPro, whose secret is read with the first call."""
    from switchboard.connectors.questionpro import QuestionPro

    return QuestionPro()
