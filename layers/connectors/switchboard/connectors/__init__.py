"""One module for each vendor's wire API. A connector never imports another."""

import os
from functools import cache
from typing import TYPE_CHECKING

from switchboard.crm import CrmConnector
from switchboard.dynamo import Table

if TYPE_CHECKING:
    from switchboard.connectors.crowdtwist import CrowdTwist
    from switchboard.settings.survey_vendor import VendorSettings
    from switchboard.survey_vendor import SurveyVendor


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


def survey_vendor() -> "SurveyVendor":
    """Whoever collects the answers, by the transport of `settings/surveys`."""
    from switchboard.settings import store
    from switchboard.settings.surveys import SurveysSettings

    return survey_transport(store.current("surveys", SurveysSettings).vendor.transport)


@cache
def survey_transport(name: str) -> "SurveyVendor":
    """The client of one transport."""
    from switchboard.settings import store
    from switchboard.settings.surveys import SurveysSettings

    def settings() -> "VendorSettings":
        return store.current("surveys", SurveysSettings).vendor

    if name == "rest":
        from switchboard.connectors.questionpro import QuestionPro

        return QuestionPro(lambda: settings().calls_per_minute)
    from switchboard.connectors.survey_rpc import SurveyRpc

    return SurveyRpc(settings)
