"""GET and POST /hooks/opt-out/{invitationId}/{token}: the way out of surveys that every mail names.

The token is the invitation's own. A GET only asks: link checkers open every link of a mail. The POST is what
the page's button sends, and what a mail program sends at one click (RFC 8058).
"""

import hmac
import html

from switchboard.api import Answer, Api, Call
from switchboard.errors import SwitchboardError
from switchboard.surveys.invitations import Invitation
from switchboard.surveys.issue import invitations

api = Api("surveys")

_HTML = "text/html; charset=utf-8"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Surveys</title>
<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1rem}}</style><main>{0}</main></html>
"""
_QUESTION = (
    "<h1>No more surveys?</h1><p>{0} will get no invitation to a survey, and no reminder, any more.</p>"
    '<form method="post"><button>Opt out</button></form>'
)
_DONE = "<h1>Done</h1><p>{0} will get no invitation to a survey, and no reminder, any more.</p>"


@api.get("/hooks/opt-out/{invitationId}/{token}", scope=None, answers={200: None})
def ask(call: Call, invitation_id: str, token: str) -> Answer:
    """Ask whether this person wants no more surveys."""
    return _page(_QUESTION, _invitation(invitation_id, token))


@api.post("/hooks/opt-out/{invitationId}/{token}", scope=None, answers={200: None})
def opt_out(call: Call, invitation_id: str, token: str) -> Answer:
    """This person wants no more surveys; again changes nothing."""
    invitation = _invitation(invitation_id, token)
    invitations().opt_out(invitation.email)
    return _page(_DONE, invitation)


def _invitation(invitation_id: str, token: str) -> Invitation:
    kept = invitations().get(invitation_id)
    if kept is None or not hmac.compare_digest(token.encode(), kept.opt_out_token.encode()):
        raise SwitchboardError("not-found", "There is no such page.")
    return kept


def _page(words: str, invitation: Invitation) -> Answer:
    body = _PAGE.format(words.format(html.escape(invitation.email)))
    return Answer(200, body, _HEADERS, _HTML)
