"""Takes personal data and secrets out of free text that a vendor wrote.

Vendors echo what they were sent. Their words go into the ledger, into answers and into logs, so they pass
through `redact` first. Left alone, because a diagnosis needs them: words ("Email Address is already taken"),
error codes (SBL-EAI-04383), Siebel row ids (1-ABC, 88-3DS9V5), ISO dates and timestamps, IP addresses.

Every pattern runs in linear time: its quantifiers are possessive, or bounded by a small number.
"""

import re

_NAMES = (
    r"api[-_ ]?key|auth[-_ ]?key|access[-_ ]?key|private[-_ ]?key|token|secret|passw(?:or)?d|pwd"
    r"|session[-_]?id|signature|credentials?"
)

# Authorization: Basic dXNlcjpwYXNz | "Cookie": "_sn=…" : the scheme goes with the value.
_HEADER = re.compile(
    r"(?P<name>(?:authorization|cookie)\\{0,3}[\"']?\s{0,3}[:=]\s{0,3}\\{0,3}[\"']?)"
    r"(?:[A-Za-z][\w-]{0,40}+ {1,3})?[^\s\"'\\,;<>]++",
    re.IGNORECASE,
)
# api_key=… | "apiKey":"…" | \"token\":\"…\" : a quoted value ends at its quote, a bare one at a delimiter.
_NAMED_QUOTED = re.compile(
    rf"(?P<name>(?:{_NAMES})\\{{0,3}}[\"']?\s{{0,3}}[:=]\s{{0,3}}\\{{0,3}}(?P<quote>[\"']))"
    r"[^\"'\\<>]++",
    re.IGNORECASE,
)
# After a colon a plain word is the vendor's ("Invalid token: expired"), anything else may be a value.
_NAMED_BARE = re.compile(
    rf"(?P<name>(?:{_NAMES})[\"']?\s{{0,3}}(?:=|:(?!\s{{0,3}}[A-Za-z][a-z]*+(?![^\s.,;!?]))|%3D)\s{{0,3}})"
    r"[^\s\"'\\,;&<>\[\]]++",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"(?P<name>\b(?:Bearer|Basic)\s{1,3})(?=[\w.~+/-]{0,300}[\d=])[\w.~+/=-]{6,}+", re.IGNORECASE
)
_JWT = re.compile(r"\beyJ[\w-]{4,}+(?:\.[\w-]*+){1,4}+")
# %40 is the @ of an address that was echoed out of a URL.
_EMAIL = re.compile(
    r"(?:[\w.+'!#$^*~-]|%(?!40)){1,64}+(?:@|%40)[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}+", re.IGNORECASE
)
_TOKEN = re.compile(r"(?<![\w+-])[\w+-]{20,}+={0,2}")
_LETTER_BESIDE_DIGIT = re.compile(r"(?=[A-Za-z]\d|\d[A-Za-z])")

_ISO_DATE = r"\d{4}-\d{2}-\d{2}(?!\d)"
_ISO_TIME = r"[T\ ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9}+)?)?(?:Z|[+-]\d{2}:?\d{2})?"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
# What has digits and stays comes first: at one position, the first alternative wins.
_NUMBER = re.compile(
    rf"""
    (?P<keep>
        (?<![\w-]) {_ISO_DATE} (?:{_ISO_TIME})?
      | (?<![\w-]) [A-Z]{{2,10}}+ (?:-[A-Z]{{2,10}}+){{0,3}} -\d{{2,6}}+ (?![\w-])
      | (?<![\w.+-]) \d{{1,3}}-[0-9A-Z]{{1,8}}+ (?![\w-]) (?<!\d{{3}}-\d{{4}})
      | (?<![\w.]) {_OCTET}(?:\.{_OCTET}){{3}} (?![\w]|\.\d)
    )
  | (?: (?<![^\W_]) | (?<=%2[Bb]) ) \(?
    (?:
        \+ \(? \d (?:[ ().\-/]{{0,2}} \d){{6,}}+
      | (?!{_ISO_DATE}) \d (?:[ ().\-/]{{0,2}} (?!(?<!\d){_ISO_DATE}) \d){{8,}}+
      | \d{{3}}[-.]\d{{4}} (?![\w-])
    )
    """,
    re.VERBOSE,
)


def redact(text: str) -> str:
    """`text` with e-mail addresses, phone-like numbers, tokens and named secrets replaced by markers.

    The markers are `[email]`, `[number]`, `[token]` and `[redacted]`. Redacting twice changes nothing more.
    """
    for pattern in (_HEADER, _NAMED_QUOTED, _NAMED_BARE, _SCHEME):
        text = pattern.sub(r"\g<name>[redacted]", text)
    text = _JWT.sub("[token]", text)
    text = _EMAIL.sub("[email]", text)
    text = _TOKEN.sub(_token, text)
    return _NUMBER.sub(lambda match: match["keep"] or "[number]", text)


def _token(match: re.Match[str]) -> str:
    # Long names are words with hardly a digit between; keys change between letters and digits all the time.
    candidate = match[0]
    changes = sum(1 for _ in _LETTER_BESIDE_DIGIT.finditer(candidate))
    return "[token]" if changes >= 3 else candidate
