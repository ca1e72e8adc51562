"""Laws of excerpts: one short line that can be read, and nothing that steers a terminal."""

import gzip

import pytest

from etl.http.excerpts import MOST_CHARACTERS, make_excerpt


@pytest.mark.parametrize(
    ("head", "excerpt"),
    [
        (b'{"error": "quota"}\n', '{"error": "quota"}'),
        (b"  two\r\n\tlines ", "two lines"),
        (b"\x1b[31mred\x1b[0m \x07bell", "[31mred [0m bell"),
        ("a\u202egpj.exe\u2028b".encode(), "a gpj.exe b"),
        ("\ufeffmark".encode(), "mark"),
        (b"<html><head><title>\n Please  sign in </title></head><body>x</body></html>", "Please sign in"),
        (b"<html><style>b {}</style><script>var a = 1</script><h1>Bad Gateway</h1><p>nginx</p>", "Bad Gateway nginx"),
        (b"caf\xe9", "caf\ufffd"),
        (b"", ""),
        (gzip.compress(b"text", mtime=0), ""),
        ("text".encode("utf-16"), ""),
    ],
)
def test_an_excerpt_is_one_line_of_text(head: bytes, excerpt: str) -> None:
    assert make_excerpt(head) == excerpt


def test_an_excerpt_is_short() -> None:
    excerpt = make_excerpt(b"x" * 4096)
    assert len(excerpt) == MOST_CHARACTERS
    assert excerpt.endswith("x…")
