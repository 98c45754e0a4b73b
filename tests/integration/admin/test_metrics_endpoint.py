"""`catalyst up --metrics` against a real server: what is published and reported is on the page."""

import asyncio
import secrets
import urllib.request
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from publisher.metrics import PublisherSource
from publisher.service import SignalPublisher
from publisher.settings import read_settings
from signal_admin.companions import accompanied
from signal_admin.metrics.serving import metrics_companion
from signal_contract.feedback import Feedback, Kind, feedback_bytes
from signal_contract.metrics.endpoint import Address
from signal_contract.model import Signal
from signal_contract.resources import resource_path
from signal_contract.signing import MESSAGE_ID_HEADER

LOOPBACK = Address("127.0.0.1", 0)


def fetched(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    return {
        "|".join([each.name.removeprefix("catalyst_"), *each.labels.values()]): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


@asynccontextmanager
async def shown(data, until):
    """The endpoint as a companion; yields a function that waits for a page that holds what is wanted."""
    said: list[str] = []
    companion = metrics_companion(LOOPBACK, {"publisher": PublisherSource}, every_s=0.05)
    async with accompanied([companion], data, said.append):
        await until(lambda: any(line.startswith("metrics: ") for line in said), what="the endpoint is open")
        url = next(line.removeprefix("metrics: ") for line in said if line.startswith("metrics: "))

        async def page(condition, what):  # `what` is for whoever reads the traceback
            async with asyncio.timeout(15):
                while True:
                    found = await asyncio.to_thread(fetched, url)
                    if condition(found):
                        return found
                    await asyncio.sleep(0.02)

        yield page


def sources(found):
    return {name.partition("|")[2]: value for name, value in found.items() if name.startswith("source_up")}


async def test_server_publisher_and_friends_are_on_one_page(operator, until):
    await operator.add_user("alice", ["signals.*.*"])
    alice = await operator.link("alice")
    async with shown(operator.data, until) as page:
        await page(lambda found: found.get("source_up|reports") == 1, "all was looked at")
        signal = Signal.model_validate_json(resource_path("config/samples/signal.v1.json").read_bytes())
        async with SignalPublisher(read_settings(operator.data, now=datetime.now(UTC))) as publisher:
            await publisher.submit(signal)
            assert (await publisher.flush(10)).failure is None
        report = Feedback(
            feedback_id=secrets.token_hex(16), kind=Kind.DECISION, at=datetime.now(UTC), label="REFUSED", code="STALE"
        )
        headers = {MESSAGE_ID_HEADER: report.feedback_id}
        await alice.publish_stored(report.subject("alice"), feedback_bytes(report), headers=headers)
        found = await page(lambda found: found.get("refusals_total|STALE") == 1, "the report was counted")
        found = await page(lambda found: found.get("publisher_ack_seconds_count") == 1, "the receipt was counted")
    assert sources(found) == dict.fromkeys(("server", "streams", "friends", "reports", "publisher"), 1)
    assert found["user_decisions_total|alice|REFUSED"] == 1
    assert (found["user_pending_messages|alice"], found["user_online|alice"]) == (1, 0)
    assert found["stream_published_total|SIGNALS"] == 1
    assert found["server_connections|catalyst"] >= 3
    assert found[f"signals_total|{signal.action.value}|{signal.catalyst}|new"] == 1
    assert found["publisher_outbox_stored"] == 1


async def test_with_the_server_away_the_publisher_is_still_shown_and_it_comes_back(operator, start_operator, until):
    await operator.stop()
    async with shown(operator.data, until) as page:
        found = await page(lambda found: found.get("source_up|server") == 0, "its absence is seen")
        assert found["source_up|publisher"] == 1
        assert not any(name.startswith("server_connections") for name in found)
        again = await start_operator(operator.data)
        try:
            await page(lambda found: found["source_up|server"] == 1, "it is seen again")
        finally:
            await again.stop()


async def test_a_restarted_server_is_counted_on(operator, until):
    async with shown(operator.data, until) as page:
        await page(lambda found: found.get("source_up|server") == 1, "the server answers")
        await operator.restart()
        seen = (await page(lambda found: True, "any"))["look_timestamp_seconds"]
        await page(
            lambda found: found["look_timestamp_seconds"] > seen and found["source_up|server"] == 1, "a look later"
        )


async def test_looking_writes_nothing_into_the_audit_log_again_and_again(operator, until):
    async with shown(operator.data, until) as page:
        first = await page(lambda found: found.get("source_up|streams") == 1, "the first look")
        seen = first["look_timestamp_seconds"]
        await page(lambda found: found["look_timestamp_seconds"] > seen + 0.3, "some looks later")
        before = (await page(lambda found: True, "any"))["stream_published_total|AUDIT"]
        later = await page(lambda found: found["look_timestamp_seconds"] > seen + 0.8, "some more")
    assert later["stream_published_total|AUDIT"] == before
