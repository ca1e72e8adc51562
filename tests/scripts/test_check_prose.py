"""The check of the prose: odd phrases are found with their lines, plain English passes, and code is not read."""

from pathlib import Path

import pytest

from scripts.check_prose import find_odd, main, read_file, strip_code


def find_phrases(text: str) -> list[str]:
    return [phrase for _, phrase, _ in find_odd(strip_code(text))]


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Whoever waits does so inside libpq.", ["Whoever"]),
        ("Cuts the sessions. Who comes later must reconnect.", ["Who"]),
        ("What was refused stays open.", ["What was"]),
        ("The window of the scan; what the reader has seen counts.", ["what the reader has"]),
        ("Sleeps for so many seconds.", ["so many"]),
        ("A change of shape is told once.", ["told"]),
        ("The source is read anew, behind the cursor.", ["anew", "behind"]),
        ("A text that is no JSON.", ["is no JSON"]),
        ("None where the server sends no body.", ["None where"]),
        ("The run goes on; nobody succeeds it.", ["goes on", "nobody"]),
        ("One upsert a statement.", ["One upsert a statement"]),
        ("A door of the desk.", ["door", "desk"]),
    ],
)
def test_an_odd_phrase_is_found(text: str, phrases: list[str]) -> None:
    assert sorted(find_phrases(text)) == sorted(phrases)


@pytest.mark.parametrize(
    "text",
    [
        "A client that waits does so inside libpq; the operator, who may cancel it, sees it in the admin.",
        "Says what to do and who asked for the run.",
        "There were so many retries that the run failed.",
        "There is no cursor, and the source is no longer read.",
        "The web process runs behind a load balancer, and the service is behind schedule.",
        "Beat tells the worker which runs are due; the worker was told to stop.",
        "Two requests a second, as long as the lease lasts.",
        "Leave the lock alone, regardless of what it holds; there is a row for each source.",
    ],
)
def test_plain_english_passes(text: str) -> None:
    assert find_phrases(text) == []


def test_a_phrase_is_found_across_lines_and_code() -> None:
    assert find_phrases("The text is\n    no `JSON`.") == ["is no _"]


def test_code_is_not_read() -> None:
    text = "Ask `whoever()`.\n```\nwhoever\n```\n[The list](whoever.md)  <a href='whoever'>opens</a>"
    assert find_phrases(text) == []


def test_each_text_of_a_module_is_read_where_it_begins(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Opens the file."""\n'
        'QUERY = "SELECT name FROM sources WHERE whoever"\n'
        "LIMIT = 3  # rows\n"
        "\n"
        "# Waits for the lock\n"
        "# of the source.\n"
        'raise ValueError(f"{LIMIT} rows are too many.")\n'
    )
    assert sorted(read_file(module)) == [
        ("comments", 1, "Opens the file."),
        ("comments", 3, "rows"),
        ("comments", 5, "Waits for the lock\nof the source."),
        ("messages", 7, "_ rows are too many."),
    ]


def test_the_list_names_file_line_and_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("The source is\nread anew.\n")
    assert main([tmp_path]) == 1
    out = capsys.readouterr().out
    assert f"{page}:2: anew (rather: again" in out
    assert "docs: 200.0 per 1,000 words (1 in 5)" in out


def test_a_page_of_plain_english_passes(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("The source is read again.\n")
    assert main([tmp_path]) == 0
