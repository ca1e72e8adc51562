"""Laws 11 and 14: the database enforces what it can, and the pipeline changes nothing that belongs to others."""

from tests.laws.seeding import Mistake, drop

CONSTRAINTS = "tests/laws/test_constraints.py::"
AUTH = "tests/http/test_auth.py::"
CREDENTIALS = "tests/http/test_credentials.py::"
DELIVERY = "tests/laws/test_delivery.py::"
PEERS = "tests/http/test_peers.py::"
ONE_RUNNING = """\
models.UniqueConstraint(condition=models.Q(('status', 'running')), fields=('source',), name='etl_runs_one_running'), """

MISTAKES = (
    Mistake(
        11,
        "few keys looked up by reading all of the source",
        "etl/storage/ledger.py",
        ((" AND external_id = wanted.external_id LIMIT 1\n", " AND external_id = wanted.external_id\n"),),
        caught_by=("tests/test_plans.py::test_a_batch_looks_up_ids_and_originals_by_their_whole_key[find_few_keys]",),
    ),
    Mistake(
        4,
        "counters that need not add up",
        "etl/migrations/0023_reads_and_removals.py",
        (("removed >= 0 AND seen = ", "removed >= 0 AND seen >= 0 * "),),
        caught_by=(f"{CONSTRAINTS}test_each_constraint_refuses_what_breaks_it[etl_runs_counters_add_up]",),
    ),
    Mistake(
        11,
        "two running runs of one source",
        "etl/migrations/0001_runs.py",
        (drop(ONE_RUNNING),),
        caught_by=(f"{CONSTRAINTS}test_each_constraint_refuses_what_breaks_it[etl_runs_one_running]",),
    ),
    Mistake(
        11,
        "a batch that counts for a closed run",
        "etl/runs/heartbeat.py",
        (("    if not cursor.rowcount:\n", "    if False:\n"),),
        caught_by=(f"{DELIVERY}test_a_run_that_was_closed_from_outside_lands_nothing",),
    ),
    Mistake(
        11,
        "an update that does not count its rows",
        "etl/storage/batch.py",
        (("    if cursor.rowcount != len(lines):\n", "    if False:\n"),),
        caught_by=(f"{CONSTRAINTS}test_a_batch_that_misses_a_record_to_update_lands_nothing",),
    ),
    Mistake(
        11,
        "a start that does not look whether its run still waits",
        "etl/runs/starting.py",
        (
            (
                "            if not waiting.update(**claimed.describe_run(at_terminal=False)):\n",
                "            if waiting.update(**claimed.describe_run(at_terminal=False)) is None:\n",
            ),
        ),
        caught_by=("tests/laws/test_ownership.py::test_a_start_of_a_run_that_no_longer_waits_claims_nothing",),
    ),
    Mistake(
        11,
        "totals mended while others count",
        "etl/migrations/0011_total_triggers.py",
        (drop("    LOCK TABLE etl_totals IN SHARE ROW EXCLUSIVE MODE;\n"),),
        caught_by=("tests/storage/test_totals.py::test_repair_waits_for_what_is_being_counted",),
    ),
    Mistake(
        14,
        "an edited entry of the schedule, overwritten",
        "etl/runs/schedule.py",
        (
            drop("    if _list_entries().filter(name=name).exists():\n        return\n"),
            ("_list_entries().get_or_create(name=name,", "_list_entries().update_or_create(name=name,"),
        ),
        caught_by=(
            "tests/laws/test_schedule_entries.py::test_an_edited_entry_is_never_overwritten",
            "tests/runs/test_orders.py::test_a_sweep_creates_missing_entries_and_changes_no_other",
        ),
    ),
    Mistake(
        14,
        "a paused source, resumed by the sweep",
        "etl/runs/schedule.py",
        (
            drop("    if _list_entries().filter(name=name).exists():\n        return\n"),
            (
                "_list_entries().get_or_create(name=name, defaults=defaults)",
                '_list_entries().update_or_create(name=name, defaults={**defaults, "enabled": True})',
            ),
        ),
        caught_by=("tests/laws/test_schedule_entries.py::test_a_disabled_entry_stays_disabled_and_asks_for_nothing",),
    ),
    Mistake(
        14,
        "the marks of all sources dropped with those of one",
        "etl/storage/marks.py",
        (('"DELETE FROM etl_read_marks WHERE source = %s", [source]', '"DELETE FROM etl_read_marks"'),),
        caught_by=("tests/laws/test_reads.py::test_the_marks_of_one_source_stay_when_the_read_of_another_begins",),
    ),
    Mistake(
        14,
        "a key sent along to another host",
        "etl/http/attempt.py",
        (('("Authorization", *self.source_request.headers)', '("Authorization",)'),),
        caught_by=("tests/http/test_client.py::test_credentials_are_not_sent_to_another_origin",),
    ),
    Mistake(
        14,
        "an address checked before the redirect only",
        "etl/http/connections.py",
        (
            (
                "found if self.proxy else self._choose(found)",
                "found if self.proxy or self.host != self.peers.own_host else self._choose(found)",
            ),
        ),
        caught_by=(
            f"{PEERS}test_the_target_of_a_redirect_gets_no_byte_before_its_address_is_checked",
            f"{PEERS}test_each_redirect_is_checked",
        ),
    ),
    Mistake(
        14,
        "a name resolved a second time after its address was checked",
        "etl/http/connections.py",
        (
            (
                "for family, kind, protocol, _, address in found:",
                "for family, kind, protocol, _, address in resolve(self._dns_host, self.port, self._limit()):",
            ),
        ),
        caught_by=(f"{PEERS}test_the_address_that_was_checked_is_the_one_that_is_reached",),
    ),
    Mistake(
        14,
        "a redirect that leaves TLS",
        "etl/http/attempt.py",
        (("        if _is_secure(former) and not _is_secure(following):\n", "        if False:\n"),),
        caught_by=(f"{PEERS}test_no_redirect_leads_from_https_to_http",),
    ),
    Mistake(
        14,
        "credentials of a .netrc sent",
        "etl/http/attempt.py",
        (("        self.auth = _DeclaredAuth()\n", ""),),
        caught_by=(
            f"{CREDENTIALS}test_a_netrc_adds_no_credentials",
            f"{CREDENTIALS}test_a_netrc_does_not_replace_a_declared_header",
        ),
    ),
    Mistake(
        14,
        "an answer that echoes a token masked by the request without it",
        "etl/readers/http_content.py",
        (("body.request.mask(str(error))", "str(error)"),),
        caught_by=(f"{AUTH}test_a_body_that_echoes_a_token_is_masked",),
    ),
    Mistake(
        14,
        "the exception of own auth shown with its text",
        "etl/http/credentials.py",
        (("{type(error).__name__} in {", "{error!r} in {"),),
        caught_by=(f"{AUTH}test_an_exception_of_own_code_is_named_without_its_text",),
    ),
    Mistake(
        14,
        "a redirected POST that is followed",
        "etl/http/attempt.py",
        (("allow_redirects=request.body is None", "allow_redirects=True"),),
        caught_by=(f"{AUTH}test_a_redirected_post_is_not_followed",),
    ),
    Mistake(
        14,
        "a key shown as the server echoes it",
        "etl/http/attempt.py",
        (("    return request.mask(", "    return str("),),
        caught_by=(
            f"{CREDENTIALS}test_a_reason_phrase_that_echoes_a_secret_is_masked",
            "tests/http/test_runs.py::test_neither_events_nor_the_error_of_a_run_show_a_key_that_the_server_echoes",
        ),
    ),
)
