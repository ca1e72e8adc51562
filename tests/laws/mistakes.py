"""Proves that the tests notice: each mistake below is made in a copy of the project, and a test must fail.

python -m tests.laws.mistakes
"""

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = ("tests/laws/test_delivery.py", "tests/laws/test_fence_machine.py", "tests/laws/test_drift_delivery.py")
TOTALS, CANCEL, REPLAY = ("tests/storage/test_totals.py",), ("tests/runs/test_cancel.py",), ("tests/test_replay.py",)
PRUNING, CLOSING = (
    ("tests/test_pruning.py",),
    ("tests/runs/test_announcements.py", "tests/runs/test_alerts.py", "tests/runs/test_cancel.py"),
)
LAWS = tuple(dict.fromkeys((*FENCE, *TOTALS, *CANCEL, *REPLAY, *PRUNING, *CLOSING)))
TRANSACTION = (
    "    with transaction.atomic(durable=True), connection.cursor() as cursor:\n        bound_statements(cursor)\n"
)
COMMIT_NOW = 'cursor.execute("COMMIT"); cursor.execute("BEGIN")'
WRITE_FIRST = f"""
        import datetime
        write_batch(
            cursor, batch, source=claim.source, kind=source.kind, run_id=claim.run_id, read_number=read.number,
            sequence=read.batch_number + 1, now=datetime.datetime.now(datetime.UTC),
        )
        {COMMIT_NOW}
"""


@dataclass(frozen=True)
class Mistake:
    """In `file`, or in one file below that folder, each text of `changes` is replaced by the one behind it.

    One of the `laws` must notice.
    """

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]
    laws: tuple[str, ...] = FENCE


MISTAKES = (
    Mistake(
        "no fence",
        "etl/fence/checkpoints.py",
        (
            (
                (
                    "WHERE source = %(source)s AND epoch = %(epoch)s AND batch_number = %(batch_number)s\n"
                    "        AND lease_expires_at > clock_timestamp()\n    RETURNING sequence"
                ),
                "WHERE source = %(source)s\n    RETURNING sequence",
            ),
        ),
    ),
    Mistake(
        "no epoch, in the fence and in the run's counters",
        "etl",
        (
            (
                "AND epoch = %(epoch)s AND batch_number = %(batch_number)s\n        AND lease_expires_at",
                "AND batch_number = %(batch_number)s\n        AND lease_expires_at",
            ),
            (" WHERE id = %(run_id)s AND epoch = %(epoch)s AND status = 'running'", " WHERE id = %(run_id)s"),
        ),
    ),
    Mistake(
        "a fence without batch number",
        "etl/fence/checkpoints.py",
        ((" AND batch_number = %(batch_number)s", ""),),
    ),
    Mistake(
        "the checkpoint committed before the data",
        "etl/landing.py",
        (("        if not read.is_begun:\n", f"        {COMMIT_NOW}\n        if not read.is_begun:\n"),),
    ),
    Mistake(
        "the checkpoint committed after the data",
        "etl/landing.py",
        (
            ("        advanced = checkpoints.advance(", f"{WRITE_FIRST}        advanced = checkpoints.advance("),
            (
                "            cursor,\n            batch,\n            source=",
                "            cursor,\n            Batch(),\n            source=",
            ),
        ),
    ),
    Mistake(
        "unsorted keys, inserted",
        "etl/storage/batch.py",
        (("in sorted(batch.inserts.items())", "in batch.inserts.items()"),),
    ),
    Mistake(
        "unsorted keys, updated",
        "etl/storage/batch.py",
        (("    cursor.execute(_LOCK_UPDATED)\n", ""),),
    ),
    Mistake(
        "the last duplicate wins",
        "etl/deduplication.py",
        (("    return version.is_met\n", "    return False\n"),),
    ),
    Mistake(
        "ids of a read forgotten at a crash: the unchanged ones",
        "etl/storage/batch.py",
        (("        mark_met(cursor, source, read_number, batch.met)\n", "        pass\n"),),
    ),
    Mistake(
        "ids of a read forgotten at a crash: the written ones",
        "etl/storage/lookup.py",
        (("is_met=raw_id in written or ", "is_met="),),
    ),
    Mistake(
        "a claim that does not close the older run",
        "etl/runs.py",
        (("    was_full = _abandon_running(source, trigger, and_then)\n", "    was_full = False\n"),),
    ),
    Mistake(
        "drift written outside the fence",
        "etl/runs.py",
        (
            ("            _note_drift(claim, read_end)\n", ""),
            (
                f"{TRANSACTION}        if not claims.release(cursor, claim, needs_lease=read_end",
                (
                    "    if read_end is not None:\n        _note_drift(claim, read_end)\n"
                    f"{TRANSACTION}        if not claims.release(cursor, claim, needs_lease=read_end"
                ),
            ),
        ),
    ),
    Mistake(
        "drift committed before its run is closed",
        "etl/runs.py",
        (
            (
                "            _note_drift(claim, read_end)\n",
                f"            _note_drift(claim, read_end)\n            {COMMIT_NOW}\n",
            ),
        ),
    ),
    Mistake(
        "a read's shape kept only in memory",
        "etl/fence/checkpoints.py",
        (("read_shape = %(read_shape)s", "read_shape = NULL"),),
    ),
    Mistake(
        "a read's shape saved one batch late",
        "etl/pipeline.py",
        (
            ("            read = _observe(source, chunk, read)\n", ""),
            (
                "            watch.note_batch()\n",
                "            read = _observe(source, chunk, read)\n            watch.note_batch()\n",
            ),
        ),
    ),
    Mistake(
        "a commit sent again blindly",
        "etl/landing.py",
        (("    if checkpoints.has_landed(cursor, claim, batch_number):\n        return\n", ""),),
    ),
    Mistake(
        "totals that fall with what is deleted",
        "etl/migrations/0011_total_triggers.py",
        (
            ("            value = kept.value + EXCLUDED.value,\n", ""),
            (
                "            pruned = kept.pruned + EXCLUDED.pruned,\n",
                "            value = kept.value + EXCLUDED.value - EXCLUDED.pruned,\n",
            ),
        ),
        laws=TOTALS,
    ),
    Mistake(
        "retries lost with their run",
        "etl/migrations/0011_total_triggers.py",
        ((" {RETRIES_OF_LOST_RUNS}", ""),),
        laws=TOTALS,
    ),
    Mistake(
        "totals mended beside those who count",
        "etl/migrations/0011_total_triggers.py",
        (("    LOCK TABLE etl_totals IN SHARE ROW EXCLUSIVE MODE;\n", ""),),
        laws=TOTALS,
    ),
    Mistake(
        "a replay that overwrites whatever is stored",
        "etl/storage/lookup.py",
        (
            (
                "            is_met=raw_id in written or _is_marked(marks, row_id),\n",
                "            is_met=not is_replay and (raw_id in written or _is_marked(marks, row_id)),\n",
            ),
        ),
        laws=REPLAY,
    ),
    Mistake(
        "a replay that takes each record for one of the last read",
        "etl/deduplication.py",
        (("    for version in known.values():\n        version.is_met = True\n", ""),),
        laws=REPLAY,
    ),
    Mistake(
        "refused records that a read met forgotten",
        "etl/storage/refusals.py",
        (("    mark_met(cursor, source, read_number, [*new_ids", "    (cursor, source, read_number, [*new_ids"),),
        laws=REPLAY,
    ),
    Mistake(
        "a replay that does not look whether its records are still open",
        "etl/landing.py",
        (("        if not lock_open(cursor, page.landed.keys() | page.refused.keys()):\n", "        if False:\n"),),
        laws=REPLAY,
    ),
    Mistake(
        "a replay in the midst of an open read",
        "etl/replay.py",
        (("    if checkpoint.is_reading:\n", "    if False:\n"),),
        laws=REPLAY,
    ),
    Mistake(
        "a pruned version that a unified record points to",
        "etl/storage/pruning.py",
        (("AND record.raw_id = old.id)\n", "AND record.raw_id = 0)\n"),),
        laws=PRUNING,
    ),
    Mistake(
        "pruned versions that are counted in a transaction of their own",
        "etl/pruning.py",
        (
            (
                "                runs.count_pruned(cursor, of_runs)\n",
                f"                {COMMIT_NOW}\n                runs.count_pruned(cursor, of_runs)\n",
            ),
        ),
        laws=PRUNING,
    ),
    Mistake(
        "a pruned run that records are left of",
        "etl/pruning.py",
        (
            (
                'run_id not in kept and left == self.foreseen_of_run["raw"][run_id] and not',
                "run_id not in kept and not",
            ),
            ('going.filter(pruned_raw=F("new") + F("updated"))', "going"),
        ),
        laws=PRUNING,
    ),
    Mistake(
        "a pruned refusal that its source still sends",
        "etl/storage/pruning.py",
        (("return find_met(cursor, source, row[0], ids) if row is not None else set()", "return set()"),),
        laws=PRUNING,
    ),
    Mistake(
        "runs of one source closed beside each other",
        "etl/runs.py",
        (
            (
                "        _line_up(cursor, run.source)\n        _end(run.pk, Q(status=Status.QUEUED)",
                "        _end(run.pk, Q(status=Status.QUEUED)",
            ),
        ),
        laws=CLOSING,
    ),
    Mistake(
        "a closed run that is told before its commit",
        "etl/runs.py",
        (("        transaction.on_commit(lambda: _announce(run_id))\n", "        _announce(run_id)\n"),),
        laws=CLOSING,
    ),
    Mistake(
        "a cancelled run that keeps its epoch",
        "etl/runs.py",
        (("    checkpoints.revoke_from(cursor, run.source, run.pk)\n", ""),),
        laws=CANCEL,
    ),
)


def main() -> None:
    """Make each mistake, or those whose name has the given word; the exit status is 1 if one went unnoticed."""
    if not passes_tests(None):
        sys.exit("The tests fail without any mistake: nothing is proven.")
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    made = [mistake for mistake in MISTAKES if word in mistake.name]
    unnoticed = [mistake.name for mistake in made if passes_tests(mistake)]
    for name in unnoticed:
        print(f"UNNOTICED: {name}")
    print(f"{len(made) - len(unnoticed)} of {len(made)} seeded mistakes were noticed.")
    sys.exit(bool(unnoticed))


def passes_tests(mistake: Mistake | None) -> bool:
    """Whether the tests pass in a copy of the project with this mistake in it."""
    with tempfile.TemporaryDirectory(prefix="kasparro-mistake-") as folder:
        copy_project(Path(folder))
        if mistake is not None:
            make(mistake, Path(folder))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                *(mistake.laws if mistake else LAWS),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in (0, 1):
        sys.exit(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    failed = next((line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), "nothing failed")
    print(f"{mistake.name if mistake else 'no mistake'}: {failed}", flush=True)
    return done.returncode == 0


def copy_project(folder: Path) -> None:
    """The files that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        source = ROOT / name
        if source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)


def make(mistake: Mistake, folder: Path) -> None:
    """Change the copy; a text that is not found once means that this file must be brought up to date."""
    place = folder / mistake.file
    paths = [place] if place.is_file() else sorted(place.rglob("*.py"))
    for former, wrong in mistake.changes:
        found = [path for path in paths if former in path.read_text()]
        if len(found) != 1 or found[0].read_text().count(former) != 1:
            sys.exit(f"{mistake.name}: not exactly once in {mistake.file}: {former!r}")
        found[0].write_text(found[0].read_text().replace(former, wrong))


if __name__ == "__main__":
    main()
