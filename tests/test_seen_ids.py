"""The ids that a read has seen: none is forgotten, and few new ones look known."""

from etl.seen_ids import SeenIds, pack, recall

BATCH = 10_000


def make_batch(number: int) -> list[str]:
    return [f"id-{each}" for each in range(number * BATCH, (number + 1) * BATCH)]


def test_none_is_forgotten_and_few_new_ones_look_known() -> None:
    seen = SeenIds()
    known = sum(len(seen.add(make_batch(number))) for number in range(20))
    assert known < 200  # about 2 of 200,000 are expected
    assert [len(seen.add(make_batch(number))) for number in (0, 7, 19)] == [BATCH] * 3


def test_a_repeat_within_a_batch_is_found() -> None:
    assert SeenIds().add(["a", "b", "a", "c", "b"]) == [2, 4]


def test_ids_of_earlier_batches_are_recalled() -> None:
    seen = recall([pack(["a", "b"]), pack(["c"])])
    assert seen is not None
    assert seen.add(["c", "d", "a"]) == [0, 2]
    assert recall(None) is None
