"""GET /views/{name}/{key} and GET /views/{name}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.serve.conftest import Driver, reading

if TYPE_CHECKING:
    import httpx

    from tests.serve.conftest import Running


def test_a_key_gives_its_row(filled: Running) -> None:
    answer = filled.get("/views/driver/10")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"driver_id": 10, "name": "driver 10"}


def test_a_computed_table_gives_its_row(filled: Running) -> None:
    assert filled.get("/views/sensor-count/a-0").json() == {"sensor": "a-0", "readings": 4}


def test_values_are_written_as_json_can_hold_them(filled: Running) -> None:
    row = filled.get("/views/parcel/6ba7b810-9dad-11d1-80b4-00c04fd430c8").json()
    assert row == {
        "code": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "price": "12.50",
        "seal": "__79",
        "tags": {"fragile": 1},
        "due": "2026-05-01T12:00:00Z",
        "takes": "PT1H30M",
        "weight": "Infinity",
    }


def test_a_key_of_bytes_is_base64(filled: Running) -> None:
    listed = {row["size"]: row["digest"] for row in filled.rows("blob")}
    assert filled.get(f"/views/blob/{listed[1]}").json()["size"] == 1


def test_a_key_with_a_slash_is_found(running: Running) -> None:
    running.send("reading", reading("hall/3 %"))
    path = f"/views/sensor-count/{quote('hall/3 %', safe='')}"
    running.until(lambda: running.get(path).status_code == 200)
    assert running.get(path).json()["sensor"] == "hall/3 %"


def test_a_deleted_row_is_gone(running: Running) -> None:
    running.send("driver", Driver(driver_id=5, name="Ada"))
    running.until(lambda: running.get("/views/driver/5").status_code == 200)
    running.client.delete("driver", 5)
    running.until(lambda: running.get("/views/driver/5").status_code == 404)
    assert running.rows("driver") == []


def test_a_key_of_a_windowed_table_gives_its_windows_oldest_first(filled: Running) -> None:
    page = filled.get("/views/sensor-hour/a-0").json()
    # The sensor reads at 0, 130, 260 and 390 minutes past noon.
    assert [row["window_start"][11:16] for row in page["rows"]] == [
        "12:00", "14:00", "16:00", "18:00",
    ]  # fmt: skip
    assert page["rows"][0] == {
        "sensor": "a-0",
        "window_start": "2026-05-01T12:00:00Z",
        "window_end": "2026-05-01T13:00:00Z",
        "warmest": 20.0,
        "readings": 1,
    }
    assert page["next"] is None


def test_the_windows_of_a_key_can_be_bounded(filled: Running) -> None:
    page = filled.get(
        "/views/sensor-hour/a-0",
        window_from="2026-05-01T14:00:00Z",
        window_to="2026-05-01T20:00:00+02:00",
    ).json()
    assert [row["window_start"][11:16] for row in page["rows"]] == ["14:00", "16:00"]


def test_bounds_without_windows_leave_an_empty_page(filled: Running) -> None:
    page = filled.get("/views/sensor-hour/a-0", window_from="2027-01-01T00:00:00Z")
    assert page.json() == {"rows": [], "next": None}


def test_rows_are_ordered_by_key(filled: Running) -> None:
    assert [row["driver_id"] for row in filled.rows("driver")] == [-1, 2, 10]


def test_rows_can_be_asked_for_by_the_beginning_of_the_key(filled: Running) -> None:
    found = [row["sensor"] for row in filled.rows("sensor-count", prefix="b-")]
    assert found == ["b-0", "b-1", "b-2", "b-3", "b-4"]


def test_windows_of_all_keys_can_be_bounded(filled: Running) -> None:
    rows = filled.rows(
        "sensor-hour", window_from="2026-05-01T13:00:00Z", window_to="2026-05-01T14:00:00Z"
    )
    assert {row["window_start"] for row in rows} == {"2026-05-01T13:00:00Z"}
    assert sum(row["readings"] for row in rows) == 5


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("view", ["sensor-count", "sensor-hour", "driver", "blob"])
def test_pages_put_together_are_the_whole_table(filled: Running, view: str, limit: int) -> None:
    whole = filled.rows(view, limit=1000)
    page: dict[str, Any] = filled.get(f"/views/{view}", limit=limit).json()
    rows = page["rows"]
    while page["next"]:
        page = filled.get(page["next"]).json()
        assert 0 < len(page["rows"]) <= limit
        rows += page["rows"]
    assert rows == whole


def test_pages_of_a_key_put_together_are_all_of_its_windows(filled: Running) -> None:
    page = filled.get("/views/sensor-hour/a-0", limit=3).json()
    assert len(page["rows"]) == 3
    rest = filled.get(page["next"]).json()
    whole = filled.get("/views/sensor-hour/a-0").json()["rows"]
    assert page["rows"] + rest["rows"] == whole


def test_a_hundred_rows_are_given_if_no_limit_is(running: Running) -> None:
    running.send("driver", *(Driver(driver_id=n, name="x") for n in range(150)))
    running.until(lambda: len(running.rows("driver", limit=1000)) == 150)
    page = running.get("/views/driver").json()
    assert len(page["rows"]) == 100
    assert page["next"] == "/views/driver?after=99"


def test_views_are_listed_with_their_columns_and_size(filled: Running) -> None:
    views = {view["name"]: view for view in filled.get("/views").json()["views"]}
    assert list(views) == ["sensor-count", "sensor-hour", "driver", "parcel", "blob"]
    assert views["sensor-count"] == {
        "name": "sensor-count",
        "key": "sensor",
        "key_type": "str",
        "windowed": False,
        "columns": {"sensor": "String", "readings": "Int64"},
        "ready": True,
        "rows": 10,
        "newest": "2026-05-01T20:27:00Z",
    }
    assert views["sensor-hour"]["windowed"]
    assert views["blob"]["newest"] > "2026"


def _problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:vagus:problem:{kind}"
    assert body["status"] == status
    assert body["title"]
    return body


def test_an_unknown_view_is_a_problem_that_names_the_nearest(filled: Running) -> None:
    for path in ("/views/sensor-cont", "/views/sensor-cont/a-0"):
        body = _problem(filled.get(path), 404, "unknown-view")
        assert body["hint"] == "did you mean 'sensor-count'?"


def test_an_unknown_key_is_a_problem(filled: Running) -> None:
    body = _problem(filled.get("/views/sensor-count/zz"), 404, "unknown-key")
    assert body["detail"] == "no row with the key 'zz' in view 'sensor-count'"
    _problem(filled.get("/views/sensor-hour/zz"), 404, "unknown-key")


def test_an_unknown_page_is_a_problem(filled: Running) -> None:
    _problem(filled.get("/nonsense"), 404, "unknown-page")


def test_only_questions_are_answered(filled: Running) -> None:
    answer = filled.http.post("/views")
    _problem(answer, 405, "wrong-method")
    assert answer.headers["allow"] == "GET"


def test_an_unknown_parameter_is_a_problem_that_says_what_is_allowed(filled: Running) -> None:
    body = _problem(filled.get("/views/sensor-count", limt=3), 422, "wrong-parameter")
    assert body["hint"] == "did you mean 'limit'?"
    assert body["allowed"] == ["limit", "prefix", "after"]


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/views/driver", {"limit": "0"}, "a whole number from 1 to 10,000"),
        ("/views/driver", {"limit": "10001"}, "a whole number from 1 to 10,000"),
        ("/views/driver", {"limit": "many"}, "a whole number from 1 to 10,000"),
        ("/views/driver", {"limit": ["1", "2"]}, "one value"),
        ("/views/driver", {"prefix": "1"}, "no parameter 'prefix'"),
        ("/views/driver", {"window_from": "2026-05-01T12:00:00Z"}, "no parameter 'window_from'"),
        ("/views/driver", {"after": "x"}, "a whole number of 64 bits"),
        ("/views/driver/x", {}, "a whole number of 64 bits"),
        ("/views/driver/9223372036854775808", {}, "a whole number of 64 bits"),
        ("/views/driver/1", {"limit": "1"}, "no parameter 'limit'"),
        ("/views/blob/a", {}, "bytes in base64"),
        ("/views/sensor-hour", {"window_from": "noon"}, "a time such as"),
        ("/views/sensor-hour", {"window_from": "2026-05-01T12:00:00"}, "says its zone"),
        ("/views/sensor-hour", {"after_window": "2026-05-01T12:00:00Z"}, "'after' where"),
    ],
)
def test_a_wrong_parameter_is_a_problem_that_says_what_was_expected(
    filled: Running, path: str, params: dict[str, Any], expected: str
) -> None:
    body = _problem(filled.get(path, **params), 422, "wrong-parameter")
    assert expected in body["detail"]
