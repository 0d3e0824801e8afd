"""The areas of `/settings/{area}`, by name."""

from functools import cache

from switchboard.models import ApiModel


@cache
def areas() -> dict[str, type[ApiModel]]:
    """Each area's model. Imported when asked for: a step that reads one area does not load the others."""
    from switchboard.settings.charging import ChargingSettings
    from switchboard.settings.leads import LeadSettings
    from switchboard.settings.members import MemberSettings
    from switchboard.settings.retention import RetentionSettings
    from switchboard.settings.siebel import SiebelSettings
    from switchboard.settings.social import SocialSettings
    from switchboard.settings.surveys import SurveysSettings
    from switchboard.settings.triggers import TriggersSettings

    return {
        "social": SocialSettings,
        "leads": LeadSettings,
        "siebel": SiebelSettings,
        "members": MemberSettings,
        "charging": ChargingSettings,
        "triggers": TriggersSettings,
        "surveys": SurveysSettings,
        "retention": RetentionSettings,
    }
