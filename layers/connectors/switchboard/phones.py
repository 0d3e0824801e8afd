"""Phone numbers, brought into one form so that they can be compared: E.164."""


def e164(number: str, country: str | None = None) -> str | None:
    """The number as E.164 (`+493012345678`); None when it is none, or national without a `country`.

    Args:
        number: as people write it, in E.164 or as dialled within `country`; an extension is dropped.
        country: ISO 3166-1 alpha-2.

    A number counts when its length can exist in its country: numbering plans change faster than libraries.
    """
    # Imported here: only a step that meets a number pays for the library.
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(parsed):
        return None
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
