"""A survey's mail: its template filled in, with a way out of surveys that works at one click."""

import html
import os
import re

from switchboard.connectors.ses import Message
from switchboard.errors import SwitchboardError
from switchboard.settings.survey_mail import PLACEHOLDER
from switchboard.settings.surveys import Survey
from switchboard.surveys.invitations import Invitation

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")


def opt_out_url(invitation: Invitation) -> str:
    """Where this person opts out; the token in it is this invitation's own."""
    base = os.environ["API_URL"].rstrip("/")
    return f"{base}/hooks/opt-out/{invitation.invitation_id}/{invitation.opt_out_token}"


def compose(invitation: Invitation, survey: Survey, *, reminder: bool) -> Message:
    """The mail for one person.

    Raises SwitchboardError `mail-not-configured` when there is no sender, or no template any more.
    """
    sender = os.environ.get("MAIL_FROM", "")
    mail = survey.mail
    if not sender or mail is None:
        raise SwitchboardError("mail-not-configured")
    template = mail.template(invitation.language, reminder=reminder)
    way_out = opt_out_url(invitation)
    values = {
        "firstName": _line(invitation.first_name or ""),
        "lastName": _line(invitation.last_name or ""),
        "surveyName": _line(survey.name or ""),
        "surveyUrl": invitation.survey_url,
        "optOutUrl": way_out,
    }
    escaped = {name: html.escape(value) for name, value in values.items()}
    return Message(
        sender=sender,
        sender_name=mail.from_name,
        reply_to=mail.reply_to,
        recipient=invitation.email,
        subject=_filled(template.subject, values),
        text=_filled(template.text, values),
        html=_filled(template.html, escaped) if template.html is not None else None,
        # RFC 8058: the mail program posts to the URL, so one click is enough.
        headers=(
            ("List-Unsubscribe", f"<{way_out}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ),
    )


def _line(text: str) -> str:
    """A name as one line: it goes into the subject, too."""
    return _CONTROL.sub(" ", text).strip()


def _filled(template: str, values: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: values[found[1]] or found[2] or "", template)
