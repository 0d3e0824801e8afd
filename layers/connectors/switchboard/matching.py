"""How words of a rule are compared with words of a record: case never counts."""

from collections.abc import Iterable


def same(one: str, other: str) -> bool:
    """Whether two words are the same but for case."""
    return one.casefold() == other.casefold()


def share(some: Iterable[str], others: Iterable[str]) -> bool:
    """Whether the two have a word in common."""
    return not {word.casefold() for word in some}.isdisjoint(word.casefold() for word in others)


def mentions(text: str, keywords: Iterable[str]) -> bool:
    """Whether the text contains one of the keywords, anywhere: not every language parts its words."""
    folded = text.casefold()
    return any(keyword.casefold() in folded for keyword in keywords)


def speaks(language: str | None, wanted: str) -> bool:
    """Whether a language tag is `wanted` or a variety of it: `en` takes `en-GB`, `en_US` and `EN`."""
    if language is None:
        return False
    tag, want = language.casefold().replace("_", "-"), wanted.casefold().replace("_", "-")
    return tag == want or tag.startswith(f"{want}-")
