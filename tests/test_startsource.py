"""startsource: files in many dialects, and of many types, give a source that lands them as it is written."""

import ast
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from etl.guessing.modules import NewSource, guess_source, write_test
from etl.guessing.samples import take_sample
from etl.preview import Preview, preview
from etl.readers.source import Source
from etl.records import Accepted
from tests.fakes import RecordingContext
from tests.http.raw_server import LIST, RawServer, answer
from tests.processes import ROOT, Project


def make(source: NewSource) -> Source:
    names: dict[str, Any] = {"__name__": "generated"}
    exec(source.text, names)
    made: Source = names[source.class_name]()
    return made


def look(path: Path) -> tuple[NewSource, Preview]:
    guessed = guess_source("made", str(path), path.read_bytes(), is_all=True)
    assert guessed is not None
    return guessed, preview(make(guessed), 1000)


# --- generated: dialect × types ------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """How a file is written: the options of Python's csv, and what a test must do beyond it."""

    delimiter: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    thousands: str = ""
    preamble: str = ""
    quoting: int = csv.QUOTE_MINIMAL
    line_end: str = "\n"
    more: dict[str, Any] = field(default_factory=dict)


DIALECTS = {
    "comma": Written(),
    "semicolon, decimal comma": Written(";", decimal=",", thousands="."),
    "tab": Written("\t"),
    "bar, CRLF": Written("|", line_end="\r\n"),
    "cp1252 with preamble": Written(";", "cp1252", ",", preamble="Bank;X\n\nKonto;123;EUR\n"),
    "UTF-16": Written(encoding="utf-16"),
    "UTF-8 with mark, all quoted": Written(encoding="utf-8-sig", quoting=csv.QUOTE_ALL),
    "carriage returns": Written(line_end="\r"),
    "thousands": Written(thousands=","),
    "sep=;": Written(";", preamble="sep=;\n"),
}

TYPES: dict[str, tuple[str, list[str]]] = {
    "numbers": ("Decimal", ["1.5", "-20.25", "1234.00", "0.05", "+3"]),
    "days": ("Date", ["31.01.2024", "01.02.2024", "28.02.2025", "15.12.2023", "29.02.2024"]),
    "times": ("Time", ["2024-01-31T10:00:00+01:00", "2024-02-01T11:30:00Z", "2024-02-03T00:00:00Z"]),
    "words": ("Boolean", ["yes", "no", "no", "yes"]),
    "codes": ("Identifier", ["007", "042", "100", "000"]),
}


def write_number(text: str, how: Written) -> str:
    whole, _, rest = text.partition(".")
    sign, digits = (whole[0], whole[1:]) if whole[0] in "+-" else ("", whole)
    grouped = f"{int(digits):,}".replace(",", how.thousands)
    return sign + grouped + (how.decimal + rest if rest else "")


def write_file(path: Path, how: Written, kind: str) -> None:
    shown, values = TYPES[kind]
    rows = [["Order ID", "Größe", kind, "Note"]]
    for number, value in enumerate(islice(cycle(values), 40), start=1):
        cell = write_number(value, how) if shown == "Decimal" else value
        rows.append([f"A{number}", f"Teil {number}, lang", cell, "" if number % 3 else f'5" rund {number}'])
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=how.delimiter, quoting=how.quoting, lineterminator=how.line_end).writerows(rows)  # type: ignore[arg-type]
    path.write_bytes((how.preamble + text.getvalue()).encode(how.encoding))


def list_generated() -> Iterator[tuple[str, str]]:
    return ((dialect, kind) for dialect in DIALECTS for kind in TYPES)


def find_fault(path: Path, kind: str) -> str:
    """Return what a person would have to edit; empty for nothing."""
    guessed, found = look(path)
    if (found.accepted, found.refused) != (40, 0) or found.verdict or found.error:
        return (
            f"{found.accepted} accepted: {[each.first.breach.message for each in found.list_refused()]}\n{guessed.text}"
        )
    if f"    {kind}: {TYPES[kind][0]}" not in guessed.text:
        return f"another type\n{guessed.text}"
    if '"external_id": "order_id"' not in guessed.text:
        return f"another id\n{guessed.text}"
    names = {item.unified.name for item in found.shown if isinstance(item, Accepted)}
    return "" if "Teil 40, lang" in names else f"another name: {sorted(names)[:3]}\n{guessed.text}"


def test_of_fifty_generated_files_none_needs_an_edit(tmp_path: Path) -> None:
    faults: dict[tuple[str, str], str] = {}
    for dialect, kind in list_generated():
        path = tmp_path / "made.csv"
        write_file(path, DIALECTS[dialect], kind)
        if fault := find_fault(path, kind):
            faults[dialect, kind] = fault
    assert len([*list_generated()]) == 50
    assert not faults, "\n".join(f"{key}: {fault}" for key, fault in faults.items())


# --- twins of real files -------------------------------------------------------------------------

ORDERS = """{"orders": [
  {"id": 4500, "email": "c0@example.org", "created_at": "2025-01-10T11:00:00-05:00", "currency": "USD",
   "total_price": "05.10", "cancelled_at": null, "customer": {"id": 7, "first_name": "A"},
   "line_items": [{"id": 0, "sku": "S", "price": "3.40"}]},
  {"id": 4501, "email": null, "created_at": "2025-02-10T11:00:00-05:00", "currency": "USD",
   "total_price": "15.10", "cancelled_at": null, "customer": {"id": 8, "first_name": "B"}, "line_items": []}
]}
"""
PRODUCTS = """Handle,Title,Body (HTML),Option1 Value,Variant SKU,Variant Price,Variant Taxable,Image Src
oak-table,Oak table,"<p>Solid,
""real"" oak</p>",Small,OT-S,249.00,true,a.png
oak-table,,,Large,OT-L,349.00,true,
lamp,Lamp,,Default,LA,0.00,false,
"""
SPEND = """Service Code,Service Label,Payment date,Transaction Number,Net Amount,Supplier Name
1042,Highways,2018-01-02,6101,3250.00,ALPHA LTD
1042,Highways,2018-01-02,6102,-12.50,ALPHA LTD
2044,Children’s homes,2018-01-05,6103,99.99,BETA & CO
"""
WALLET = """"Datum","Uhrzeit","Zeitzone","Name","Währung","Brutto","Transaktionscode","Guthaben"
"18.06.2025","07:47:30","CEST","Top up","EUR","100,00","8L00","1.138,53"
"27.10.2024","02:30:00","CET","Shop","EUR","-0,50","9Q00",""
"""
PREAMBLE = """"Girokonto";"DE00 0000"

"Kontostand vom 09.12.2025:";"4.093,32 €"
""
"Buchungsdatum";"Wertstellung";"Zahlungspflichtige*r";"Verwendungszweck";"Betrag (€)";"Kundenreferenz"
"08.12.25";"08.12.25";"A";"Miete; Dezember";"200";""
"05.12.25";"05.12.25";"B";"Einkauf";"-62,3";"50125"
"""
BANK = """Umsatzanzeige;Datei erstellt am: 09.12.2025 15:23

Bank;X

In der Datei finden Sie alle Umsätze.

Buchung;Wertstellungsdatum;Auftraggeber/Empfänger;Buchungstext;Betrag;Währung
09.12.2025;09.12.2025;Firma;Lastschrift;-1.013,98;EUR
08.12.2025;08.12.2025;G Z;Dauerauftrag;-200,00;EUR
"""


@pytest.mark.parametrize(
    ("name", "content", "encoding", "values"),
    [
        ("orders.json", ORDERS, "utf-8", ["5.10", "15.10"]),
        ("products.csv", PRODUCTS, "utf-8", ["249.00", "349.00", "0.00"]),
        ("spend.csv", SPEND, "cp1252", ["3250.00", "-12.50", "99.99"]),
        ("wallet.csv", WALLET, "utf-8-sig", ["100.00", "-0.50"]),
        ("preamble.csv", PREAMBLE, "utf-8-sig", ["200", "-62.3"]),
        ("bank.csv", BANK, "cp1252", ["-1013.98", "-200.00"]),
    ],
)
def test_files_as_shops_councils_and_banks_send_them(
    tmp_path: Path, name: str, content: str, encoding: str, values: list[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    guessed, found = look(path)
    landed = [item.unified.value for item in found.shown if isinstance(item, Accepted)]
    assert (landed, found.refused) == ([*map(Decimal, values)], 0), guessed.text


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("id,at,price\n1,2024-01-01 10:00,$1.50\n2,2024-01-02 11:00,$2\n", ['zone = "UTC"', 'currency="$"']),
        ("1,Nut,5\n2,Bolt,7\n", ['names=["column_1", "column_2", "column_3"]']),
        ("id,stock\n1,N/A\n2,7\n", ["stock: Integer | None", 'null_words=["N/A"]']),
        ("# made today\nid,name\n1,Nut\n2,Bolt\n", ['comment="#"']),
        ("id,name,\n1,Nut,\n2,Bolt,\n", ["trailing_delimiter=True"]),
        ("id;when\n1;03.04.24\n2;01.02.24\n", ['when: Date = field(formats=["%d.%m.%y"])']),
        ("id,name\n1,'Nut, M4'\n2,'Bolt, M5'\n", ['quote="\'"']),
        ('id,name\n1,5" disk\n2,3" disk\n', ["quote=None"]),
        ('id,name\n1,"5\\" disk"\n2,"3\\" disk"\n', ["doubled_quotes=False"]),
        ("id,day\n1,03/04/2024\n2,05/06/2024\n", ["# day and month may be the other way round"]),
        ("id,amount\n1,(12.50)\n2,3\n", ["parentheses=True"]),
        ("id,class,Order ID\n1,a,b\n", ['class_: Text = field(column="class")', 'field(column="Order ID")']),
        ('{"id": 1, "at": 1711852200}\n{"id": 2, "at": 1711852201}\n', ['epoch="seconds"']),
        ('[{"id": "a", "in": {"x": 1}}, {"id": "b", "in": null}]', ["in_: MadeRecordIn | None"]),
        ('[{"id": "a", "lines": [{"x": 1}, {"x": 2}]}, {"id": "b", "lines": []}]', ["lines: list[MadeRecordLines]"]),
        ('[{"id": "a", "tags": ["x"]}, {"id": "b", "tags": null}]', ["tags: list[Text] | None"]),
        ('{"data": {"items": [{"id": "a"}, {"id": "b"}]}}', ['records = "data.items"']),
        ("id,mail,link\n1,a@b.de,https://b.de/\n", ["mail: Email", "link: Url"]),
    ],
)
def test_what_a_file_shows_is_a_line_of_its_source(tmp_path: Path, content: str, lines: list[str]) -> None:
    path = tmp_path / "made.csv"
    path.write_text(content)
    guessed, found = look(path)
    assert all(line in guessed.text for line in lines), guessed.text
    assert (found.refused, found.error) == (0, None), guessed.text


# --- hostile data --------------------------------------------------------------------------------
CALLED = {"field", "Csv", "timedelta", "file_name", "row_number"}
HOSTILE = (
    "a\nraise SystemExit  #",
    '"""\nraise SystemExit\n"""',
    "a\rraise SystemExit #",
    "\\",
    "'",
    "\u2028x = 1",
    "\x0cx",
)
TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))


def check_holds_only_literals(source: NewSource) -> None:
    """Check that the module has nothing but a docstring, imports from etl and classes with declarations."""
    tree = ast.parse(source.text)
    ast.parse(write_test(source, "made", "made.csv", landed=1, refused=[]))
    docstring, *imports_and_classes = tree.body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    for each in imports_and_classes:
        assert isinstance(each, ast.ImportFrom | ast.ClassDef), source.text
        assert all(isinstance(line, ast.Assign | ast.AnnAssign) for line in getattr(each, "body", [])), source.text
    calls = (each.func for each in ast.walk(tree) if isinstance(each, ast.Call))
    assert all(isinstance(called, ast.Name) and called.id in CALLED for called in calls), source.text


@given(
    keys=st.lists(TEXTS, min_size=1, max_size=4, unique=True),
    cells=st.lists(st.one_of(TEXTS, st.just([]), st.just({}), st.just([1, "a"])), min_size=8, max_size=8),
    path=TEXTS,
    name=TEXTS,
)
def test_what_json_says_stands_in_the_source_only_as_a_literal(
    keys: list[str], cells: list[Any], path: str, name: str
) -> None:
    records = [{"id": number, **dict(zip(keys, cells[number * 4 :], strict=False))} for number in range(2)]
    source = guess_source(name, path, json.dumps({path: records}).encode(), is_all=True)
    if source is not None:
        check_holds_only_literals(source)


@given(columns=st.lists(TEXTS, min_size=1, max_size=4), cells=st.lists(TEXTS, min_size=8, max_size=8), path=TEXTS)
def test_what_a_table_says_stands_in_the_source_only_as_a_literal(
    columns: list[str], cells: list[str], path: str
) -> None:
    table = io.StringIO()
    width = len(columns)
    csv.writer(table).writerows([["id", *columns, *columns], ["1", *cells[:width] * 2], ["2", *cells[4:][:width] * 2]])
    source = guess_source("made", path, table.getvalue().encode("utf-8", "replace"), is_all=True)
    if source is not None:
        check_holds_only_literals(source)


@pytest.mark.parametrize(
    "data",
    [
        b'[{"id": 1, "a\\nraise SystemExit  #": {}}, {"id": 2, "a\\nraise SystemExit  #": {}}]',
        b'id,"a\nraise SystemExit #","a\nraise SystemExit #"\n1,x,y\n2,x,y\n',
    ],
)
def test_a_name_in_the_data_is_not_executed(data: bytes) -> None:
    source = guess_source("made", 'x"""\nraise SystemExit', data, is_all=True)
    assert source is not None
    check_holds_only_literals(source)
    make(source)


# --- the command ---------------------------------------------------------------------------------


def test_it_writes_a_source_and_a_test_that_passes(project: Project) -> None:
    data = project.folder / "bank.csv"
    data.write_bytes(BANK.encode("cp1252"))
    module = project.folder.name.replace("-", "_")
    target = ROOT / f"{module}_made.py"
    test = ROOT / f"test_{module}_made.py"
    try:
        # The settings may already name the source.
        named = {"ETL_SOURCES": f"{module}_made.Bank"}
        done = project.run("startsource", "bank", str(data), "--to", f"{module}_made", **named)
        assert done.returncode == 0, done.stderr
        assert "before the header: 7" not in done.stdout
        assert "Lines skipped before the header: 6." in done.stdout
        assert f"add {module}_made.Bank to ETL_SOURCES" in done.stdout
        again = project.run("startsource", "bank", str(data), "--to", f"{module}_made")
        assert (again.returncode, "already exists" in again.stderr) == (2, True)
        assert project.run("preview", "bank", ETL_SOURCES=f"{module}_made.Bank").returncode == 0
        (outcome,) = project.ingest("bank", ETL_SOURCES=f"{module}_made.Bank")
        assert (outcome["status"], outcome["new"]) == ("success", 2)
        names: dict[str, Any] = {"__name__": "generated"}
        exec(test.read_text().replace("@pytest.mark.django_db", ""), names)
        names["test_the_file_lands"]()
    finally:
        target.unlink(missing_ok=True)
        test.unlink(missing_ok=True)


def test_it_says_that_a_large_file_gets_no_test(project: Project) -> None:
    data = project.folder / "large.csv"
    data.write_text("id,name,price\n" + "".join(f"{n},Lamp {n},1.50\n" for n in range(1500)))
    module = f"{project.folder.name.replace('-', '_')}_large"
    target = ROOT / f"{module}.py"
    try:
        done = project.run("startsource", "large", str(data), "--to", module)
        assert (done.returncode, f"Wrote {target}.\nIt wrote no test" in done.stdout) == (0, True)
        assert not target.with_name(f"test_{target.name}").exists()
    finally:
        target.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%PDF-1.4 ...", "It looks like a PDF."),
        (b"<html><body>x</body></html>", "It looks like an HTML page."),
        (b"", "has neither a table nor JSON with objects."),
    ],
)
def test_what_is_no_data_is_named(project: Project, content: bytes, message: str) -> None:
    data = project.folder / "made.bin"
    data.write_bytes(content)
    done = project.run("startsource", "made", str(data), "--to", "made_of_nothing")
    assert (done.returncode, message in done.stderr) == (1, True), done.stderr
    assert not (ROOT / "made_of_nothing.py").exists()


@pytest.mark.parametrize(
    ("body", "base"),
    [(LIST, "JsonLinesSource"), (b'{"id": 1}\n{"id": 2}\n', "JsonLinesSource"), (BANK.encode(), "CsvSource")],
)
def test_what_is_at_an_address_is_guessed_as_in_a_file(body: bytes, base: str) -> None:
    with RawServer(answer(body)) as server:
        sample = take_sample(server.origin, RecordingContext())
        guessed = guess_source("made", server.origin, sample.data, is_all=sample.is_all)
        assert guessed is not None
        found = preview(make(guessed), 1)
    assert (f"({base}):" in guessed.text, sample.is_all, found.accepted, found.refused) == (True, True, 2, 0)


def test_an_address_that_answers_only_once_is_named(settings: Any) -> None:
    settings.ETL_HTTP_RETRIES = 0
    with RawServer(answer(), answer(b"", "500 Odd")) as server, pytest.raises(CommandError, match="500 Odd"):
        call_command("startsource", "made", server.origin, "--to", "made_of_nothing", skip_checks=True)
    assert len(server.requests) == 2
    assert not (ROOT / "made_of_nothing.py").exists()
