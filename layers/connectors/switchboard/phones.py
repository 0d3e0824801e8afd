"""Phone numbers in E.164, so that one number is written in one way. The library is loaded when asked for."""


def e164(number: str, country: str | None = None) -> str:
    """`+493012345678`, from that or from a national number with its `country` (ISO 3166-1 alpha-2).

    Raises ValueError with a sentence for people when it is no phone number.
    """
    import phonenumbers

    if not number.lstrip().startswith("+") and country is None:
        raise ValueError("a phone number is E.164, or national with its country")
    try:
        parsed = phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        raise ValueError("not a phone number") from None
    if not phonenumbers.is_possible_number(parsed) or parsed.extension:
        raise ValueError("not a phone number that can be called")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
