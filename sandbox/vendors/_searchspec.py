"""Siebel's search specifications, as far as they are documented: enough to be broken out of, like the real
ones.

    ([First Name] LIKE 'J*' AND [Last Name] ~= "a") OR [Contact Id] IS NULL

Literals stand in single or double quotes and know no escape; `*` and `?` are wildcards; `~` ignores case.
"""

import re
from collections.abc import Callable, Iterator, Mapping

type Record = Mapping[str, str]
type Test = Callable[[Record], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<field>\[[^\]]*\])|(?P<text>'[^']*'|\"[^\"]*\")|(?P<operator>~=|~LIKE|<>|>=|<=|=|<|>)"
    r"|(?P<sign>[()])|(?P<word>[A-Za-z]+))",
    re.IGNORECASE,
)


class BadSpec(Exception):
    """Not a search specification; Siebel's text for it."""


class UnknownField(Exception):
    """A field that the business component does not have."""


def compile_spec(spec: str, fields: frozenset[str]) -> Test:
    """A predicate; raises BadSpec or UnknownField."""
    parser = _Parser(list(_tokens(spec)), fields)
    test = parser.either()
    if parser.left():
        raise BadSpec(spec)
    return test


def _tokens(spec: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(spec.rstrip())
    while position < end:
        found = _TOKEN.match(spec, position)
        if found is None or found.lastgroup is None:
            raise BadSpec(spec)
        yield found.lastgroup, found[found.lastgroup]
        position = found.end()


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], fields: frozenset[str]) -> None:
        self._tokens = tokens
        self._fields = fields
        self._at = 0

    def left(self) -> bool:
        return self._at < len(self._tokens)

    def _next(self) -> tuple[str, str]:
        if not self.left():
            raise BadSpec("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, *words: str) -> bool:
        """Whether the next tokens are these words; then they are passed."""
        given = [text.upper() for _, text in self._tokens[self._at : self._at + len(words)]]
        if given != list(words):
            return False
        self._at += len(words)
        return True

    def either(self) -> Test:
        tests = [self._both()]
        while self._takes("OR"):
            tests.append(self._both())
        return lambda record: any(test(record) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._takes("AND"):
            tests.append(self._one())
        return lambda record: all(test(record) for test in tests)

    def _one(self) -> Test:
        if self._takes("("):
            test = self.either()
            if not self._takes(")"):
                raise BadSpec("a parenthesis is open")
            return test
        kind, text = self._next()
        if kind != "field":
            raise BadSpec(text)
        field = text[1:-1]
        if field not in self._fields:
            raise UnknownField(field)
        if self._takes("IS", "NOT", "NULL"):
            return lambda record: bool(record.get(field))
        if self._takes("IS", "NULL"):
            return lambda record: not record.get(field)
        operator = self._next()[1].upper()
        kind, quoted = self._next()
        if kind != "text":
            raise BadSpec(quoted)
        return _comparison(field, operator, quoted[1:-1])


def _comparison(field: str, operator: str, literal: str) -> Test:
    if operator in ("=", "LIKE", "~=", "~LIKE"):
        flags = re.DOTALL | (re.IGNORECASE if operator.startswith("~") else 0)
        pattern = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in literal)
        wanted = re.compile(pattern, flags)
        return lambda record: bool(record.get(field)) and wanted.fullmatch(record[field]) is not None
    if operator == "<>":
        return lambda record: record.get(field, "") != literal
    raise BadSpec(operator)
