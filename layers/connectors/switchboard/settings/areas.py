"""The areas of `/settings/{area}`, by name."""

from functools import cache

from switchboard.models import ApiModel


@cache
def areas() -> dict[str, type[ApiModel]]:
    """Each area's model. Imported when asked for: a step that reads one area does not load the others."""
    from switchboard.settings.social import SocialSettings
    from switchboard.settings.surveys import SurveysSettings

    return {"social": SocialSettings, "surveys": SurveysSettings}
