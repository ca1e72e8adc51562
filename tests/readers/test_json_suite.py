"""RFC 8259, rule by rule, with the cases that suites for JSON parsers have: what is valid lands, all else is refused.

The departures are deliberate: the words NaN and Infinity, a comma after the last element, a byte order mark (all three
are accepted), a key that is there twice (refused). tests/readers/test_json_records.py has laws of them.
"""

from etl.exceptions import SourceError
from etl.readers.json_records import JsonContent
from etl.records import Record
from etl.vocabulary import BreachCode
from tests.factories import hold

BEFORE, AFTER = '{"id":"before"}', '{"id":"after"}'

VALID = [
    # numbers
    *("0", "-0", "0e1", "0e+1", "0E-1", "-0.0"),
    *("1E22", "1e-2", "123.456e78", "-123123e100000", "0.1e1", "1.0000000001"),
    *("9" * 40, "-" + "9" * 40, "0." + "0" * 80 + "1", "1e400", "-1e+9999"),
    # strings
    *('""', '"\\"\\\\\\/\\b\\f\\n\\r\\t"', '"\\u0000"'),
    *('"\\u0012"', '"\\uD801\\udc37"', '"\\ud83d\\ude39\\ud83d\\udc8d"'),
    *('"\\uffff"', '"\\uDBFF\\uDFFE"', '"\\uFDD0"', '"\\\\u0000"', '"\\\\a"', '"\\u0061\\u30af\\u30EA\\u30b9"'),
    *('"\x7f"', '"\u2028\u2029"', '"\u00a0\u2060\ufeff"', '"\U0001f602"', '"π"', '"/* */"', '"// "', '"[{,:]}"'),
    # numbers that no character has, and halves of pairs: the grammar allows them
    *('"\\uD800"', '"\\uDADA"', '"\\uDd1e\\uD834"', '"\\uD800\\n"', '"\\ud800abc"'),
    # literals, arrays and objects
    *("true", "false", "null", "[]", "{}", "[[]]", "[[],{},[{}]]", '[null,1,"1",{}]', '{"":0}', '{"\\u0000":1}'),
    *('{"a":{"a":[]}}', "[ ]", " [\t1 ,\r2 ] ", ' { "a" : 1 , "b" : [ ] } ', '{"a":"b","asd":"sdf"}'),
]  # fmt: skip

INVALID = [
    # numbers
    *("+1", "++1", "-", "--1", "-+1", "- 1", "01", "-01"),
    *("00.0", "-00e0", ".5", "-.5", "1.", "-1.", "0.e1", "2.e3", "1.e"),
    *("1e", "1E+", "1e-", "1eE2", "1e1.5", "1e 1", "0e"),
    *("0.3e", "0.3e+", "0x1", "0xff", "0b1", "0o7", "1_000", "1 000"),
    *("1,5e", "1f", "1L", "1.2.3", "1a", "1-2", "-a", "-foo", "1+2", "9.e+", "\u0661", "\uff11", "1\u0661", "\u00bd"),
    *("Inf", "+Infinity", "-Inf", "infinity", "nan", "NAN", "-NaN", "+NaN", "1#INF", "Infinit", "-Infinit"),
    # strings
    *("'a'", "`a`", "abc", "é", "\u201ca\u201d", '"\\x41"', '"\\a"', "\"\\'\"", '"\\0"', '"\\08"', '"\\u"', '"\\u1"'),
    *('"\\u12"', '"\\u123"', '"\\u123g"', '"\\uD834\\u"', '"\\uD834\\uDd"', '"\\U0041"', '"\\u{41}"', '"\\ "', '"\\é"'),
    *('"\\u\u0661111"', '"\\u+123"', '"\\u 123"', '"\\u0x1"', '"\t"', '"\x00"', '"\x1f"', '"\x08"', '"a" "b"', '"a"b'),
    # literals
    *("True", "False", "None", "TRUE", "NULL", "tru", "truE", "nul", "fals", "undefined", "nulll", "true false", "yes"),
    # arrays
    *("[1,]", "[,1]", "[,]", "[1,,2]", "[1,,]", "[1 2]", "[1:2]"),
    *("[1;2]", "[1/2]", "(1)", "[]]", "[1]]", "[*]", "[...]"),
    # objects
    *('{"a"}', '{"a":}', '{"a" 1}', "{a:1}", "{1:1}", "{'a':1}", '{"a":1,}', '{,"a":1}', '{"a":1,,"b":2}', "{null:1}"),
    *('{"a":1 "b":2}', '{"a"::1}', '{"a":1;"b":2}', '{"a"=1}', '{"a","b"}'),
    *("{:1}", "{,}", '{"a":1}}', "{[]:1}", "{**}"),
    # comments and white space that is none
    *("/**/1", "1/* */", "1//", "1#", "1--", "<!-- -->1"),
    *("\x0c1", "\x0b1", "\u00a01", "\u20601", "\ufeff1", "\x851", "\u30001"),
    *('{"a"\u00a0:1}', "[1,\x0c2]", "[\u20281]", "\x001", "1\x00", "&1", "", " ", "@", "\\n", '\\"a"', "a\\u00e5"),
]  # fmt: skip


A, B = '{"a":1}', '{"b":2}'
DAMAGED, ENDS, MORE = BreachCode.MALFORMED, "the array ends in the middle.", "there is text after the array."
DOCUMENTS: dict[str | bytes, list[str]] = {
    # an array, and what may be around it
    **{text: [] for text in ("", " \n", "\ufeff", "[]", "[ ]", "\t[\r\n]\n")},
    **{text: [A] for text in (f"[{A}]", f" [ {A} ] ", f"\ufeff[{A}]", f"[\r{A}\r]\r\n", f"{A}", f"{A}\n", f"{A}\r\n")},
    **{text: [A, B] for text in (f"[{A}\r\n,\r\n{B}]", f"{A}\n{B}", f"\n{A}\n\n{B}\n")},
    # an array that ends early or late
    "[": [ENDS],
    **{text: [A, ENDS] for text in (f"[{A}", f"[{A},", f"[\n{A},\n")},
    **{text: [A, B, ENDS] for text in (f"[{A},{B}", f"[\n{A},\n{B}\n")},
    f"[{A}}}": [DAMAGED, ENDS],
    **{f"[{A}]{more}": [A, MORE] for more in ("]", "x", ",", "#", "// c", "\x00", f"[{B}]", f" {B}", "\ufeff")},
    # separators
    **{f"[{A}{wrong}{B}]": [A, DAMAGED, B] for wrong in (" ", "", ";", ",,", "/* c */,", "\x0c", ",\ufeff,")},
    **{f"[{wrong}{A}]": [DAMAGED, A] for wrong in (",", "/* c */", "\x0c", "\ufeff", "\x00", "+")},
    **{text: [A, DAMAGED] for text in (f"[{A},,]", f"[{A}...]", f"[{A},x]")},
    # lines
    **{f"{A}{wrong}{B}": [DAMAGED] for wrong in ("", ",", " ", "\r", "\u2028", "\x1e", "\x0c")},
    **{f"{A}{wrong}": [DAMAGED] for wrong in ("]", "#", " x", ",")},
    f"{A}\n,\n{B}": [A, DAMAGED, B],
    # text that is no JSON, or no object
    **{text: [DAMAGED] for text in ("{", "}", "]", "x", "<.>", f"({A})", f"callback([{A}])", f"/* c */[{A}]")},
    **{text: [DAMAGED] for text in ("[*]", "[<null>]", f"[{A}:{B}]")},
    **{text: [DAMAGED] for text in (f"\x0c[{A}]", f"\x00[{A}]", f"\xa0[{A}]", f"\u2060[{A}]", f"\ufeff\ufeff[{A}]")},
    **{text: [BreachCode.NOT_AN_OBJECT] for text in ("null", "1", '"x"', "true", "[1]", "[[]]", "[null]")},
    **{text: [BreachCode.NOT_AN_OBJECT, A] for text in (f"[1,{A}]", f"[[{B}],{A}]", f'["x",{A}]')},
    # bytes that are not UTF-8: a cut, overlong or surrogate sequence, one above the last character, other encodings
    **{
        b'[{"a":"%b"},{"b":2}]' % wrong: [BreachCode.BAD_ENCODING, B]
        for wrong in (b"\xff", b"\xe9", b"\xe0\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80")
    },
    b'{"a":"\xe6\x97"}\n{"b":2}': [BreachCode.BAD_ENCODING, B],
    **{f"[{A}]".encode(encoding): [BreachCode.BAD_ENCODING] for encoding in ("utf-16", "utf-32")},
}  # fmt: skip


def read(text: str | bytes) -> list[str]:
    """Return the texts of records, the codes of refusals, and the end of the error."""
    content = JsonContent(hold(text if isinstance(text, bytes) else text.encode()), "data/things.json", False)
    found: list[str] = []
    try:
        for chunk in content.read(None, 1):
            found += [
                item.original.decode() if isinstance(item, Record) else item.breach.code.value for item in chunk.items
            ]
    except SourceError as error:
        found.append(str(error).rpartition(": ")[2])
    return found


def list_layouts(value: str) -> tuple[list[str], ...]:
    """Three records of which the middle one has the value, read as lines and as an array."""
    texts = [BEFORE, f'{{"id":"between","v":{value}}}', AFTER]
    return texts, read("\n".join(texts)), read(f"[{','.join(texts)}]")


def test_valid_json_lands_as_it_was_sent() -> None:
    read_as = {value: list_layouts(value) for value in VALID}
    assert {value: found for value, (texts, *found) in read_as.items() if found != [texts, texts]} == {}


def test_invalid_json_is_refused_and_its_neighbours_land() -> None:
    refused = [BEFORE, BreachCode.MALFORMED, AFTER]
    read_as = {value: list_layouts(value)[1:] for value in INVALID}
    assert {value: found for value, found in read_as.items() if found != (refused, refused)} == {}


def test_documents_land_or_are_refused_as_a_whole_or_in_part() -> None:
    read_as = {document: read(document) for document in DOCUMENTS}
    assert {document: found for document, found in read_as.items() if found != DOCUMENTS[document]} == {}
