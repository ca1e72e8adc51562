"""What travels from a reading process arrives as it was."""

import pickle

from hypothesis import example, given
from hypothesis import strategies as st

from etl.records import Judged

_TEXTS = st.lists(st.text(max_size=4) | st.sampled_from(["", "\n", "a\nb", "\ud800", "\x00"]), max_size=5)


@given(_TEXTS, _TEXTS)
@example([], [""])
@example(["\n"], ["", ""])
def test_a_batch_of_any_texts_is_the_same_after_pickling(external_ids: list[str], hashes: list[str]) -> None:
    judged = Judged(external_ids=external_ids, content_hashes=hashes, repeats=[0], skipped=2)
    assert pickle.loads(pickle.dumps(judged, protocol=5)) == judged
