"""Dates and times as tables: each spelling is the instant it says, or is refused."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.contracts.field_type import Number
from etl.contracts.forms import FILE_FORM, JSON_FORM, Form, set_zone
from etl.contracts.instants import TimeType
from etl.records import Breach
from etl.sources import Date, Time, ZonedTime, field
from etl.vocabulary import BreachCode
from tests.contracts.tables import declare, judge

BERLIN = set_zone(FILE_FORM, "Europe/Berlin")
NO_DATE, NO_TIME, NO_ZONE = BreachCode.NOT_A_DATE, BreachCode.NOT_A_TIME, BreachCode.NO_TIME_ZONE
NO_SUCH = BreachCode.OUT_OF_RANGE


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("formats", "value", "result"),
    [
        (["%d/%m/%Y"], "01/05/2024", date(2024, 5, 1)),
        (["%d/%m/%Y"], " 1/5/2024 ", date(2024, 5, 1)),
        (["%d/%m/%Y"], "2024-05-01", NO_DATE),  # only the named formats are accepted
        (["%d/%m/%Y", "iso"], "2024-05-01", date(2024, 5, 1)),
        (["%d/%m/%Y"], "31/04/2024", NO_SUCH),
        (["%d/%m/%Y"], "05/13/2024", NO_SUCH),
        (["%m/%d/%Y", "%d/%m/%Y"], "05/04/2024", date(2024, 5, 4)),  # the first format that fits counts
        (["%d.%m.%y"], "01.05.68", date(2068, 5, 1)),
        (["%d.%m.%y"], "01.05.69", date(1969, 5, 1)),
        (["%d.%m.%y"], "01.05.2024", NO_DATE),
        (["%d.%m.%Y"], "01.05.24", NO_DATE),
        (["%Y%m%d"], "20240501", date(2024, 5, 1)),
        (["%Y%m%d"], "2024501", NO_DATE),
        (["%d %b %Y"], "1 May 2024", date(2024, 5, 1)),
        (["%d %b %Y"], "1 MAY 2024", date(2024, 5, 1)),
        (["%A, %B %d, %Y"], "Wednesday, May 1, 2024", date(2024, 5, 1)),
        (["%d %b %Y"], "1 Mai 2024", NO_DATE),
        (["%Y-%m-%d 00:00:00"], "2024-05-01 00:00:00", date(2024, 5, 1)),
        (["%Y-%m-%d 00:00:00"], "2024-05-01 10:00:00", NO_DATE),
        (["%d/%m/%Y"], "\u0661/\u0665/2024", NO_DATE),
        (["%d/%m/%Y"], "01/05/2024\x00", NO_DATE),
        (["%d/%m/%Y"], "", BreachCode.BLANK),
    ],
)
def test_date_in_a_named_format(formats: list[str], value: str, result: Any) -> None:
    assert judge(declare(Date, field(formats=formats)), value) == result


@pytest.mark.parametrize(
    ("hint", "formats", "problem"),
    [
        (Date, ["%d/%m/%Y %H:%M"], "is not of a date: it has %H"),
        (Date, ["%d/%m"], "lacks the day, month or year"),
        (Date, ["%d/%m/%Y %d"], "has a directive twice"),
        (Date, "%d/%m/%Y", "formats is a list"),
        (Time, [1], "formats is a list"),
        (Time, ["%Q"], "has %Q; known are %Y %y"),
        (Time, ["%d.%m.%Y %"], "has %; known are"),
        (Time, ["%d.%m.%Y %I:%M"], "needs %I with %p"),
    ],
)
def test_a_format_that_makes_no_sense_is_rejected(hint: Any, formats: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=rf"Declared\.it: .*{problem}"):
        declare(hint, field(formats=formats))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"zone": "Berlin"}, "'Berlin' is not a zone"),
        ({"zones": {"CET": "somewhere"}}, "'somewhere' is not a zone"),
        ({"zones": ["CET"]}, "gives the offset of each name"),
        ({"epoch": "minutes"}, "epoch is 'seconds' or 'milliseconds'"),
        ({"epoch": "seconds", "formats": ["iso"]}, "either formats or an epoch"),
        ({"twice": "both"}, "twice is 'earlier' or 'later'"),
        ({"missing": "skip"}, "missing is 'shift'"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_rejected(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        declare(Time, field(**options))


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("2024-05-01T02:30:00+01:00", "2024-05-01 01:30"),
        ("2024-05-01T02:30+01", "2024-05-01 01:30"),
        ("2024-05-01 02:30:00+00", "2024-05-01 02:30"),  # PostgreSQL's own
        ("2024-05-01 02:30:00.5-0130", "2024-05-01 04:00:00.5"),
        ("1890-05-01 00:53:28+00:53:28", "1890-05-01 00:00"),
        ("2024-05-01 02:30:00 UTC", "2024-05-01 02:30"),
        ("2024-05-01 02:30:00 -0400", "2024-05-01 06:30"),
        ("2024-05-01t02:30:00z", "2024-05-01 02:30"),
        (" 2024-05-01T02:30:00Z ", "2024-05-01 02:30"),
        ("2024-05-01T02:30:00,5Z", "2024-05-01 02:30:00.5"),
        ("2024-05-01T02:30:00.123456789Z", "2024-05-01 02:30:00.123456"),
        ("20240501T023000Z", "2024-05-01 02:30"),
        ("20240501T0230+0200", "2024-05-01 00:30"),
        ("Wed, 01 May 2024 02:30:00 GMT", "2024-05-01 02:30"),
        ("1 May 2024 02:30 +0200", "2024-05-01 00:30"),
        ("2024-05-01T02:30:00[Europe/Berlin]", "2024-05-01 00:30"),
        ("2024-05-01T02:30:00+02:00[Europe/Berlin]", "2024-05-01 00:30"),
        ("2024-05-01T24:00:00Z", "2024-05-02 00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01 00:00"),  # a leap second is the second after it, as in POSIX
        ("2017-01-01T00:59:60+01:00", "2017-01-01 00:00"),
        ("2024-05-01T02:30:00+01:00[Europe/Berlin]", NO_SUCH),
        ("2024-03-31T02:30:00[Europe/Berlin]", BreachCode.NONEXISTENT_TIME),
        ("2024-05-01T02:30:00[Europe/Atlantis]", NO_SUCH),
        ("2024-05-01T02:30:00[../../etc/passwd]", NO_TIME),
        ("2024-05-01T23:59:60Z", NO_SUCH),
        ("2016-12-31T22:59:60Z", NO_SUCH),
        ("2024-05-01T24:00:01Z", NO_SUCH),
        ("2024-05-01T25:00:00Z", NO_SUCH),
        ("2024-05-01T10:00:00+24:00", NO_SUCH),
        ("9999-12-31T23:59:59-00:01", NO_SUCH),
        ("2024-05-01T02:30:00", NO_ZONE),
        ("2024-05-01 02:30:00 CET", NO_TIME),
        ("2024-05-01", NO_TIME),
        ("45382.1041666667", NO_TIME),
        ("1711852200", NO_TIME),
        ("31.03.2024", NO_TIME),
        ("2024-05-01T10:00:00+01:60", NO_TIME),
        ("\uff12024-05-01T10:00:00Z", NO_TIME),
        ("infinity", NO_TIME),
        ("", BreachCode.BLANK),
    ],
)
def test_time_in_iso_8601_and_its_relatives(value: str, result: str | BreachCode) -> None:
    assert judge(declare(Time), value) == (result if isinstance(result, BreachCode) else utc(result))


EPOCH_S, EPOCH_MS = {"epoch": "seconds"}, {"epoch": "milliseconds"}
WALLET = {"formats": ["%d.%m.%Y %H:%M:%S %Z"], "zones": {"CET": "+01:00", "CEST": "+02:00"}}


@pytest.mark.parametrize(
    ("options", "value", "result"),
    [
        (EPOCH_S, "1711852200", "2024-03-31 02:30"),
        (EPOCH_S, Number("1711852200.25"), "2024-03-31 02:30:00.25"),
        (EPOCH_S, Number("1.7118522e9"), "2024-03-31 02:30"),
        (EPOCH_S, "-1", "1969-12-31 23:59:59"),
        (EPOCH_MS, "1711852200000", "2024-03-31 02:30"),
        (EPOCH_S, "1711852200000", NO_SUCH),
        (EPOCH_S, Number("1e400"), NO_SUCH),
        (EPOCH_S, "2024-05-01T00:00:00Z", NO_TIME),
        (EPOCH_S, True, NO_TIME),
        (EPOCH_S, " ", BreachCode.BLANK),
        ({"formats": ["%m/%d/%Y %I:%M %p"]}, "3/31/2024 12:30 AM", "2024-03-30 23:30"),
        ({"formats": ["%m/%d/%Y %I:%M %p"]}, "3/30/2024 2:30 pm", "2024-03-30 13:30"),
        ({"formats": ["%m/%d/%Y %I:%M %p"]}, "3/30/2024 13:30 pm", NO_SUCH),
        ({"formats": ["%d.%m.%Y"]}, "31.03.2024", "2024-03-30 23:00"),
        ({"formats": ["%d.%m.%Y", "iso"]}, "2024-03-31T02:30:00Z", "2024-03-31 02:30"),
        ({"formats": ["%d.%m.%Y %H:%M:%S.%f"]}, "01.05.2024 10:00:00.5", "2024-05-01 08:00:00.5"),
        ({"formats": ["%Y-%m-%d %H:%M %z"]}, "2024-05-01 10:00 +0530", "2024-05-01 04:30"),
        (WALLET, "18.06.2025 07:47:30 CEST", "2025-06-18 05:47:30"),
        (WALLET, "27.10.2024 02:30:00 CET", "2024-10-27 01:30"),
        (WALLET, "27.10.2024 02:30:00 CEST", "2024-10-27 00:30"),
        (WALLET, "27.10.2024 02:30:00 EST", NO_TIME),
        ({"zones": {"CET": "+01:00"}}, "2024-05-01 02:30:00 CET", "2024-05-01 01:30"),
        ({"zones": {"Berlin": "Europe/Berlin"}}, "2024-03-31 02:30:00 Berlin", BreachCode.NONEXISTENT_TIME),
        ({"zone": "America/New_York"}, "2024-05-01 10:00", "2024-05-01 14:00"),
        ({"zone": "+05:30"}, "2024-05-01 10:00", "2024-05-01 04:30"),
        ({"zone": "America/New_York"}, "2024-05-01 10:00Z", "2024-05-01 10:00"),
    ],
)
def test_time_with_parameters(options: dict[str, Any], value: Any, result: str | BreachCode) -> None:
    form = BERLIN if isinstance(value, str) else set_zone(JSON_FORM, "Europe/Berlin")
    expected = result if isinstance(result, BreachCode) else utc(result)
    assert judge(declare(Time, field(**options)), value, form) == expected


@pytest.mark.parametrize(
    ("options", "value", "result"),
    [
        ({}, "2024-07-01 10:00", "2024-07-01 08:00"),
        ({}, "2024-10-27 02:30", BreachCode.AMBIGUOUS_TIME),
        ({"twice": "earlier"}, "2024-10-27 02:30", "2024-10-27 00:30"),
        ({"twice": "later"}, "2024-10-27 02:30", "2024-10-27 01:30"),
        ({"twice": "later"}, "2024-10-27 03:00", "2024-10-27 02:00"),
        ({"twice": "later"}, "2024-03-31 02:30", BreachCode.NONEXISTENT_TIME),
        ({}, "2024-03-31 02:30", BreachCode.NONEXISTENT_TIME),
        ({"missing": "shift"}, "2024-03-31 02:30", "2024-03-31 01:30"),
        ({"missing": "shift"}, "2024-10-27 02:30", BreachCode.AMBIGUOUS_TIME),
    ],
)
def test_an_hour_that_exists_twice_or_not_at_all(options: dict[str, Any], value: str, result: Any) -> None:
    expected = result if isinstance(result, BreachCode) else utc(result)
    assert judge(declare(Time, field(**options)), value, BERLIN) == expected


_FORMATS = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y-%m-%d %H:%M:%S.%f", "iso")
_ZONES = ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC")
_NEAR_CHANGES = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes),
    st.sampled_from([datetime.fromisoformat(day) for day in ("2024-03-31", "2024-10-27", "2024-04-07", "2011-12-30")]),
    st.integers(-60, 1500),
)
_ODD_TIMES = st.sampled_from(
    ["1.5.2024 24:00", "1.5.2024 24:30", "1.5.2024 10:60", "1.5.2024 10:00:60", "2024-05-01 1:00", "5/1/2024 0:30 am"]
)


@given(st.lists(_NEAR_CHANGES | _ODD_TIMES), st.sampled_from(_FORMATS), st.sampled_from(_ZONES), st.booleans())
def test_times_of_a_column_are_those_of_its_cells(times: list[Any], spelling: str, zone: str, is_later: bool) -> None:
    style = "%Y-%m-%dT%H:%M:%S" if spelling == "iso" else spelling
    cells = [time if isinstance(time, str) else time.strftime(style) for time in times]
    kind = TimeType(formats=_FORMATS, zone=zone, twice="later" if is_later else None)
    for each in (kind, TimeType(zone=zone, missing="shift")):
        results = [each.parse(cell, FILE_FORM) for cell in cells]
        texts, breaches = each.parse_column(cells, FILE_FORM)
        assert breaches == {row: result for row, result in enumerate(results) if isinstance(result, Breach)}
        assert texts == [None if isinstance(result, Breach) else each.write(result) for result in results]


def test_a_refused_hour_is_named_with_its_zone_and_what_the_field_may_say() -> None:
    judged = declare(Time).judge({"it": "2024-10-27 02:30"}, BERLIN)
    assert isinstance(judged, Breach)
    assert judged.message == (
        'it exists twice in Europe/Berlin: \'2024-10-27 02:30\'; the field may say twice="earlier" or "later"'
    )


def test_no_time_takes_the_zone_of_the_project(settings: Any) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    assert judge(declare(Time), "2024-05-01 10:00") is NO_ZONE


def test_the_four_types_of_before_read_no_zone_from_the_source() -> None:
    assert judge(declare(ZonedTime), "2024-05-01T10:00:00", BERLIN) is NO_ZONE


instants = st.datetimes(timezones=st.just(UTC)).filter(lambda time: 1900 < time.year < 9999)


@given(instants, st.sampled_from([BERLIN, FILE_FORM]))
def test_the_print_of_a_time_parses_to_it(time: datetime, form: Form) -> None:
    kind: Any = declare(Time).fields["it"].kind
    assert kind.parse(kind.write(time), form) == time


@given(instants)
def test_a_local_time_is_an_instant_that_reads_so_in_its_zone_or_is_refused(time: datetime) -> None:
    local = time.replace(tzinfo=None)
    result = judge(declare(Time), local.isoformat(), BERLIN)
    if isinstance(result, datetime):
        assert result.astimezone(ZoneInfo("Europe/Berlin")).replace(tzinfo=None) == local
