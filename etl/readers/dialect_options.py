"""Checks the options of a dialect: what each allows, and which contradict each other. Pure."""

from collections.abc import Mapping, Sequence
from typing import TypeGuard

Option = str | int | bool | Sequence[str] | None
_SIGNS = ("delimiter", "quote", "escape")
_COUNTS = ("skip_lines", "footer_lines", "footer_rows")
_WORDS = ("null_words", "true_words", "false_words")
_FLAGS = ("doubled_quotes", "trailing_delimiter", "trim")
_LINE_ENDS = ("\n", "\r")
_THOUSANDS = (".", ",", "'", "\u2019", " ", "\u00a0", "\u202f", "_", "")


def check_options(dialect: str, options: Mapping[str, Option]) -> dict[str, Option]:
    """Return those that are lists as tuples. Raises ValueError, which says what is wrong and what is allowed."""
    try:
        _check_each(options)
        _check_pairs(options)
    except ValueError as error:
        raise ValueError(f"{dialect}({error}") from None
    lists = (*_WORDS, "names")
    return {name: tuple(value) for name in lists if _is_list(value := options.get(name))}


def _check_each(options: Mapping[str, Option]) -> None:
    for name in _SIGNS:
        if name in options and (options[name] is not None or name == "delimiter"):
            _require(_is_sign(options[name]), name, options, "must be one character, not a line break")
    for name in _COUNTS:
        value = options.get(name, 0)
        _require(
            isinstance(value, int) and not isinstance(value, bool) and value >= 0,
            name,
            options,
            "must be a whole number, 0 or more",
        )
    for name in _FLAGS:
        _require(isinstance(options.get(name, False), bool), name, options, "must be True or False")
    for name in _WORDS:
        _require(
            _is_words(options[name]), name, options, "must be a list of strings without leading or trailing spaces"
        )
    _require(options.get("line_end", "\n") in _LINE_ENDS, "line_end", options, r'must be "\n" (LF or CRLF) or "\r"')
    _require(options["decimal"] in (".", ","), "decimal", options, 'must be "." or ","')
    _require(options["thousands"] in _THOUSANDS, "thousands", options, f"must be one of {_list(_THOUSANDS)}")
    _require(_is_row(options.get("header_row", 1)), "header_row", options, "must be a row's number, from 1 on")
    sheet = options.get("sheet")
    is_sheet = sheet is None or (sheet != "" if isinstance(sheet, str) else _is_row(sheet))
    _require(is_sheet, "sheet", options, "must be a sheet's name, or its number from 1 on")
    comment, names = options.get("comment"), options.get("names")
    _require(comment is None or _is_prefix(comment), "comment", options, "must be a string without line breaks")
    if names is not None:
        _require(_is_list(names) and len(names) > 0, "names", options, "must be a list of the columns' names")
        _require(_are_different(names), "names", options, "must be different, non-empty strings")


def _check_pairs(options: Mapping[str, Option]) -> None:
    delimiter, quote, escape, comment = (options.get(each) for each in (*_SIGNS, "comment"))
    decimal, thousands = options["decimal"], options["thousands"]
    _refuse(decimal == thousands, "decimal", "thousands", options, "are the same character")
    _refuse(delimiter is not None and delimiter == quote, "delimiter", "quote", options, "are the same character")
    _refuse(delimiter is not None and delimiter == escape, "delimiter", "escape", options, "are the same character")
    _refuse(
        quote is not None and quote == escape, "quote", "escape", options, "are the same character: leave escape out"
    )
    is_unquoted = delimiter is not None and quote is None
    for sign in ("decimal", "thousands"):
        same = is_unquoted and options[sign] == delimiter
        _refuse(same, sign, "delimiter", options, "are the same character, and nothing can be quoted")
    _refuse(options.get("trim") is True and delimiter == " ", "trim", "delimiter", options, "contradict each other")
    if isinstance(comment, str):
        for sign in _SIGNS:
            _refuse(comment[0] == options[sign], "comment", sign, options, "begin with the same character")
    for one, other in (("true_words", "false_words"), ("null_words", "true_words"), ("null_words", "false_words")):
        common = set(_list_words(options[one])) & set(_list_words(options[other]))
        _refuse(bool(common), one, other, options, f"share {_list(sorted(common))}")


def _is_row(value: Option) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_sign(value: Option) -> bool:
    return isinstance(value, str) and len(value) == 1 and value not in "\r\n"


def _is_prefix(value: Option) -> bool:
    return isinstance(value, str) and value != "" and not set(value) & {"\r", "\n"}


def _is_list(value: Option) -> TypeGuard[Sequence[str]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_words(value: Option) -> bool:
    return _is_list(value) and all(isinstance(word, str) and word == word.strip() for word in value)


def _are_different(names: Option) -> bool:
    return _is_list(names) and all(isinstance(name, str) and name for name in names) and len(set(names)) == len(names)


def _list_words(value: Option) -> Sequence[str]:
    return value if _is_list(value) else ()


def _list(words: Sequence[str]) -> str:
    return ", ".join(map(repr, words))


def _require(is_good: object, name: str, options: Mapping[str, Option], rule: str) -> None:
    if not is_good:
        raise ValueError(f"{name}={options[name]!r}): {rule}")


def _refuse(is_bad: object, one: str, other: str, options: Mapping[str, Option], rule: str) -> None:
    if is_bad:
        raise ValueError(f"{one}={options[one]!r}, {other}={options[other]!r}): they {rule}")
