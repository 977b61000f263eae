"""Views of events over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import vagus as vg
from tests.services.views.running import hub_in, until
from tests.services.views.shop import Shop, paid, placed
from vagus.serve import Server
from vagus.services import Token


class Served:
    """A shop whose views are served."""

    def __init__(self, shop: Shop, client: vg.Client, http: httpx.Client) -> None:
        self.shop, self.client, self.http = shop, client, http

    def send(self, *events: Any) -> str:
        return Token("shop", self.client.send(self.shop.orders, events, acks="leader")).text()

    def get(self, path: str, **asked: Any) -> httpx.Response:
        return self.http.get(path, params=asked or None)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from serving(Shop(), tmp_path_factory.mktemp("served"))


def serving(shop: Shop, folder: Path) -> Iterator[Served]:
    with hub_in(folder) as hub, vg.Client(shop.service, hub) as client:
        client.send(shop.orders, [placed(n, note=f"bell{n}") for n in range(10)])
        with (
            Server(shop.service, hub, port=0, ready=lambda: True) as server,
            httpx.Client(base_url=server.url, timeout=30) as http,
        ):
            shop.service.queries.wait_ready()
            yield Served(shop, client, http)


def test_a_row_is_answered_as_json(served: Served):
    assert served.get("/queries/orders/o004").json() == {
        "order_id": "o004",
        "customer_id": 1,
        "status": "placed",
        "total": "1.00",
        "placed_at": "2026-05-01T12:04:00Z",
        "note": "bell4",
    }


def test_rows_are_found_by_filters_sort_and_pages(served: Served):
    got = served.get("/queries/orders", customer_id=1, sort="-placed_at", limit=2).json()
    assert [row["order_id"] for row in got["rows"]] == ["o007", "o004"]
    rest = served.get(got["next"]).json()
    assert [row["order_id"] for row in rest["rows"]] == ["o001"]
    assert rest["next"] is None


def test_a_filter_may_have_several_values_and_bounds(served: Served):
    got = served.get("/queries/orders", order_id=["o001", "o002"], total_from="0.5").json()
    assert [row["order_id"] for row in got["rows"]] == ["o002"]
    got = served.get("/queries/orders", placed_at_from="2026-05-01T14:08:00+02:00").json()
    assert [row["order_id"] for row in got["rows"]] == ["o008", "o009"]


def test_texts_are_searched(served: Served):
    got = served.get("/queries/orders", search="bell3").json()
    assert [row["order_id"] for row in got["rows"]] == ["o003"]


def test_a_token_is_waited_for(served: Served):
    token = served.send(placed(50))
    assert served.get("/queries/orders/o050", token=token).json()["status"] == "placed"
    token = served.send(paid(50))
    answer = served.http.get("/queries/orders/o050", headers={"Vagus-Token": token})
    assert answer.json()["status"] == "paid"


@pytest.mark.parametrize(
    ("path", "status", "kind", "hint"),
    [
        ("/queries/oders", 404, "unknown-view", "did you mean 'orders'?"),
        ("/queries/oders/x", 404, "unknown-view", "did you mean 'orders'?"),
        ("/queries/orders/nothing", 404, "unknown-key", "GET /queries/orders"),
        ("/queries/orders?custmer_id=1", 422, "unknown-field", "did you mean 'customer_id'?"),
        ("/queries/orders/o001?x=1", 422, "unknown-field", ""),
        ("/queries/orders?sort=ttal", 422, "unknown-field", "did you mean 'total'?"),
        ("/queries/orders?customer_id=x", 422, "wrong-parameter", ""),
        ("/queries/orders?limit=0", 422, "wrong-parameter", ""),
        ("/queries/orders?limit=1&limit=2", 422, "wrong-parameter", ""),
        ("/queries/orders?wait_s=1000", 422, "wrong-parameter", ""),
        ("/queries/orders?wait_s=nan", 422, "wrong-parameter", ""),
        ("/queries/orders?after=x", 422, "wrong-parameter", "as it came"),
        ("/queries/orders?total_from=1&total_from=2", 422, "wrong-parameter", ""),
        ("/queries/orders?placed_at_from=2026-05-01T12:00:00", 422, "wrong-parameter", ""),
        ("/queries/orders?token=x", 400, "malformed-token", "as it came"),
        ("/queries/orders/stream?since=x", 422, "wrong-parameter", "as it came"),
        ("/queries/orders/stream?custmer_id=1", 422, "unknown-field", "'customer_id'"),
    ],
)
def test_a_wrong_question_is_a_problem(
    served: Served, path: str, status: int, kind: str, hint: str
):
    answer = served.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:vagus:problem:{kind}"
    assert hint in body.get("hint", "")


def test_tokens_that_are_of_no_use_are_problems(served: Served):
    foreign = Token("stock", {}).text()
    assert served.get("/queries/orders", token=foreign).json()["type"].endswith("foreign-token")
    expired = Token("shop", {}, 0).text()
    assert served.get("/queries/orders", token=expired).json()["type"].endswith("expired-token")


def test_changes_come_as_server_sent_events_and_can_be_resumed(served: Served):
    with served.http.stream("GET", "/queries/orders/stream?customer_id=2") as stream:
        events = sse(stream)
        assert next(events)[1] == "ready"
        served.send(placed(62))
        first = next(events)
        assert (first[1], first[2]["order_id"]) == ("row", "o062")
        served.send(placed(63))
        assert next(events)[1:] == ("gone", {"key": "o063"})
    served.send(placed(65), paid(62))
    headers = {"Last-Event-ID": first[0]}
    with served.http.stream(
        "GET", "/queries/orders/stream?customer_id=2", headers=headers
    ) as stream:
        events = sse(stream)
        seen = []
        while len(seen) < 3:
            seen.append(next(events)[2])
    assert {row.get("order_id", row.get("key")) for row in seen} == {"o063", "o065", "o062"}


def test_a_stream_can_begin_with_all_rows(served: Served):
    with served.http.stream("GET", "/queries/orders/stream?since=start&total_to=0.5") as stream:
        events = sse(stream)
        assert [next(events)[2]["order_id"] for _ in range(2)] == ["o000", "o001"]


def test_a_stream_of_another_build_begins_anew_and_says_so(served: Served):
    headers = {"Last-Event-ID": "999-1"}
    with served.http.stream("GET", "/queries/orders/stream", headers=headers) as stream:
        events = sse(stream)
        assert next(events)[1] == "restart"
        assert next(events)[1] == "row"


def sse(stream: httpx.Response) -> Iterator[tuple[str | None, str, Any]]:
    """The events of a stream: id, kind, data."""
    fields: dict[str, str] = {}
    for line in stream.iter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields.get("id"), fields["event"], json.loads(fields["data"])
            fields = {}


def test_the_views_are_listed_with_how_they_are(served: Served):
    (view,) = served.get("/queries").json()["views"]
    assert view["name"] == "orders"
    assert view["ready"]
    assert view["fields"]["total"] == "decimal"


def test_the_interface_describes_the_rows(served: Served):
    described = served.get("/openapi.json").json()
    row = described["components"]["schemas"]["OrderRow"]
    assert row["properties"]["placed_at"] == {
        "format": "date-time",
        "title": "Placed At",
        "type": "string",
    }
    names = {p["name"] for p in described["paths"]["/queries/orders"]["get"]["parameters"]}
    assert {"customer_id", "total_from", "sort", "limit", "after", "token", "search"} <= names


def test_health_and_measures_tell_of_the_views(served: Served):
    assert served.get("/health/ready").json()["queries"] == {"orders": True}
    assert 'vagus_query_ready{view="orders"} 1.0' in served.get("/metrics").text


def test_a_view_that_stopped_is_a_problem_that_says_where(tmp_path: Path):
    def function(event: Any, rows: Any) -> None:
        if event.order_id == "o010":
            raise ValueError("not this one")

    for served in serving(Shop(function), tmp_path):
        served.send(placed(10), placed(11))
        until(lambda served=served: served.get("/queries/orders").status_code == 503)
        body = served.get("/queries/orders").json()
        assert body["type"] == "urn:vagus:problem:view-stopped"
        assert (body["topic"], body["partition"], body["offset"]) == ("order", 0, 10)
        assert "dead-letter" in body["hint"]
        ready = served.get("/health/ready")
        assert ready.status_code == 503
        assert "not this one" in ready.json()["errors"]["orders"]
        assert 'vagus_query_stopped{view="orders"} 1.0' in served.get("/metrics").text
