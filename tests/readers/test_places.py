"""Laws of where files are: on a disk or in a Django storage, by a name or by a pattern."""

import os
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, storages

from etl.exceptions import SourceError, TransientSourceError
from etl.local_copy import MissingFile
from etl.readers.content import Opening
from etl.readers.places import FoundFile, find_place, is_pattern, split_pattern
from etl.sources import Contract, CsvSource, NonBlank
from tests.factories import read_items
from tests.fakes import RecordingContext

TABLE = b"id,name\n1,Nut\n"
OLD = 1_000_000_000


class Part(Contract):
    id: NonBlank
    name: NonBlank


class Parts(CsvSource):
    name, every, contract = "parts", timedelta(hours=1), Part
    unified = {"external_id": "id", "name": "name"}
    path = "storage://imports/parts.csv"


class BrokenStorage(InMemoryStorage):
    """A storage whose server says its key in each error."""

    def size(self, name: str) -> int:
        raise RuntimeError("no access with k3y")


class ForgetfulStorage(InMemoryStorage):
    def get_modified_time(self, name: str) -> Any:
        raise NotImplementedError


class GrowingStorage(InMemoryStorage):
    """A storage in which a file grows whenever it is asked about."""

    calls = 0

    def size(self, name: str) -> int:
        self.calls += 1
        return self.calls


@pytest.fixture(params=["disk", "memory"])
def storage(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Any:
    kinds = {"disk": FileSystemStorage, "memory": InMemoryStorage}
    options = {"location": str(tmp_path)} if request.param == "disk" else {}
    return declare(settings, kinds[request.param], **options)


def declare(settings: Any, kind: type, **options: str) -> Any:
    """Declare a storage named `imports` in STORAGES, and return it."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    settings.STORAGES = {**settings.STORAGES, "imports": {"BACKEND": name, "OPTIONS": options}}
    return storages["imports"]


def read_names(source: CsvSource) -> list[str]:
    with ExitStack() as opened:
        content = opened.enter_context(source.open(Opening(), RecordingContext()))
        assert content is not None
        return [item.values["name"] for item in read_items(content)]  # type: ignore[union-attr]


def fail(source: CsvSource) -> SourceError:
    with pytest.raises(SourceError) as caught, source.open(Opening(), RecordingContext()):
        pass
    return caught.value


def write(path: Path, content: bytes = TABLE, *, seconds: int = OLD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (seconds, seconds))
    return path


# One file in a storage


def test_a_file_in_a_storage_is_read(storage: Any) -> None:
    storage.save("parts.csv", ContentFile(TABLE))
    assert read_names(Parts()) == ["Nut"]


def test_a_source_names_the_storage_as_its_place(storage: Any) -> None:
    assert Parts().location == "storage://imports/parts.csv"


def test_a_missing_file_is_named_with_its_storage(storage: Any) -> None:
    error = fail(Parts())
    assert isinstance(error, MissingFile)
    text = "storage://imports/parts.csv does not exist: put the file there or change `path`."
    assert str(error) == text


def test_an_unknown_storage_is_named_with_the_known_ones() -> None:
    text = str(fail(Parts()))
    assert text.startswith("storage://imports/parts.csv: STORAGES has no usable storage 'imports'; it has 'default'")


def test_a_name_outside_the_storage_is_refused(settings: Any, tmp_path: Path) -> None:
    declare(settings, FileSystemStorage, location=str(tmp_path))
    source = Parts()
    source.path = "storage://imports/../parts.csv"
    assert "is not a name that the storage 'imports' permits" in str(fail(source))


def test_what_a_storage_says_is_not_shown(settings: Any) -> None:
    declare(settings, BrokenStorage)
    error = fail(Parts())
    assert isinstance(error, TransientSourceError)
    assert "the storage 'imports' failed with RuntimeError; check its options in STORAGES" in str(error)
    assert "k3y" not in str(error)


def test_a_storage_that_knows_no_times_is_read(settings: Any) -> None:
    declare(settings, ForgetfulStorage).save("parts.csv", ContentFile(TABLE))
    assert read_names(Parts()) == ["Nut"]


def test_a_file_that_grows_in_its_storage_is_a_transient_error(settings: Any) -> None:
    declare(settings, GrowingStorage).save("parts.csv", ContentFile(TABLE))
    assert "is being written while it is read" in str(fail(Parts()))


# Patterns


@pytest.mark.parametrize(
    ("path", "folder", "pattern"),
    [
        ("data/*.csv", "data", "*.csv"),
        ("/data/2024-??/a.csv", "/data", "2024-??/a.csv"),
        ("data/[ab]*.csv", "data", "[ab]*.csv"),
        ("*.csv", "", "*.csv"),
        ("data/**/*.csv", "data", "**/*.csv"),
    ],
)
def test_a_pattern_begins_with_its_first_sign(path: str, folder: str, pattern: str) -> None:
    assert is_pattern(path)
    assert split_pattern(path) == (folder, pattern)


@pytest.mark.parametrize(
    "path", ["data/a.csv", "data/report [1].csv", "https://example.org/a?b=*", "storage://imports/a.csv"]
)
def test_other_paths_are_no_patterns(path: str) -> None:
    assert not is_pattern(path)


TREE = ["b.csv", "a.csv", "ä.csv", "B.csv", "c.txt", ".hidden.csv", "2024/a.csv", "2024/05/a.csv", "2025/a.csv"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["B.csv", "a.csv", "b.csv", "ä.csv"]),
        ("?.txt", ["c.txt"]),
        ("[ab]?csv", ["a.csv", "b.csv"]),
        (".*.csv", [".hidden.csv"]),
        ("2*/a.csv", ["2024/a.csv", "2025/a.csv"]),
        ("**/a.csv", ["2024/05/a.csv", "2024/a.csv", "2025/a.csv", "a.csv"]),
        ("*", ["B.csv", "a.csv", "b.csv", "c.txt", "ä.csv"]),
        ("x*", []),
    ],
)
def test_a_pattern_finds_the_same_files_on_a_disk_and_in_a_storage(
    storage: Any, tmp_path: Path, pattern: str, names: list[str]
) -> None:
    for name in TREE:
        write(tmp_path / "disk" / "in" / name)
        storage.save(f"in/{name}", ContentFile(TABLE))
    on_disk = find_place(f"in/{pattern}", tmp_path / "disk").list_files()
    in_storage = find_place(f"storage://imports/in/{pattern}", tmp_path).list_files()
    assert [file.name for file in on_disk] == names
    assert [file.name for file in in_storage] == names


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="inbox does not exist or is not a folder"):
        find_place("inbox/*.csv", tmp_path).list_files()


def test_a_name_that_is_not_unicode_is_shown_with_escapes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.csv")).write_bytes(TABLE)
    (found,) = find_place("*.csv", tmp_path).list_files()
    assert found.name == r"\xff.csv"
    assert Path(found.path).read_bytes() == TABLE


def find_stamps(path: Path) -> tuple[str, str]:
    """Return the file's stamp as its copy has it, and as a listing has it."""
    place = find_place(f"{path.name}*", path.parent)
    (found,) = place.list_files()
    with place.copy(found.path) as copy:
        return copy.stamp, found.stamp


def test_a_file_that_has_just_changed_has_no_stamp_that_counts(tmp_path: Path) -> None:
    copied, listed = find_stamps(write(tmp_path / "a.csv"))  # its inode has just changed
    assert copied == ""
    assert listed != ""


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"id,name\n2,Nut\n"),
        lambda path: write(path, b"id,name\n2,Nut\n"),  # another content with the old size and time
        lambda path: write(path.with_suffix(".new")).replace(path),
    ],
)
def test_each_change_of_a_file_changes_its_stamp(tmp_path: Path, change: Any) -> None:
    path = write(tmp_path / "a.csv")
    place = find_place("a.*v", tmp_path)
    before = place.list_files()
    change(path)
    assert place.list_files() != before


def test_an_old_file_in_a_storage_keeps_its_stamp(settings: Any, tmp_path: Path) -> None:
    declare(settings, FileSystemStorage, location=str(tmp_path))
    write(tmp_path / "a.csv")
    place = find_place("storage://imports/a*", tmp_path)
    (found,) = place.list_files()
    assert isinstance(found, FoundFile)
    with place.copy(found.path) as copy:
        assert copy.stamp == found.stamp != ""
