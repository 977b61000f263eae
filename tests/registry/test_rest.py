"""Confluent's REST interface: paths, answers and codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.registry.conftest import Rest, record, text

X, XY, XYZ = record("x"), record("x", "y"), record("x", "y", "z")
OTHER = {"type": "record", "name": "A", "fields": [{"name": "x", "type": "string"}]}


def _body(schema: Any) -> dict[str, str]:
    return {"schema": text(schema)}


def test_a_schema_is_registered_once_and_has_one_id(rest: Rest) -> None:
    assert rest("POST", "/subjects/a-value/versions", _body(X)) == (200, {"id": 1})
    assert rest("POST", "/subjects/a-value/versions", _body(X)) == (200, {"id": 1})
    assert rest("POST", "/subjects/a-value/versions", _body(XY)) == (200, {"id": 2})
    assert rest("POST", "/subjects/b-value/versions", _body(XY)) == (200, {"id": 2})
    assert rest("GET", "/subjects") == (200, ["a-value", "b-value"])
    assert rest("GET", "/subjects", subjectPrefix="b") == (200, ["b-value"])
    assert rest("GET", "/subjects/a-value/versions") == (200, [1, 2])


def test_any_avro_schema_can_be_registered(rest: Rest) -> None:
    assert rest.register("key", '"string"') == 1
    assert rest.register("key", {"type": "string"}) == 1
    assert rest.register("union", ["null", "long"]) == 2
    assert rest("GET", "/schemas/ids/1") == (200, {"schema": '"string"'})


def test_a_version_can_be_had_by_number_and_as_the_latest(rest: Rest) -> None:
    rest.register("a-value", X)
    rest.register("a-value", XY)
    first = {"subject": "a-value", "version": 1, "id": 1, "schema": text(X)}
    latest = {"subject": "a-value", "version": 2, "id": 2, "schema": text(XY)}
    assert rest("GET", "/subjects/a-value/versions/1") == (200, first)
    assert rest("GET", "/subjects/a-value/versions/latest") == (200, latest)
    assert rest("GET", "/subjects/a-value/versions/-1") == (200, latest)
    assert rest("GET", "/subjects/a-value/versions/1/schema") == (200, X)
    assert rest("GET", "/subjects/a-value/versions/1/referencedby") == (200, [])


def test_a_schema_can_be_had_by_its_id(rest: Rest) -> None:
    rest.register("a-value", X)
    rest.register("b-value", X)
    assert rest("GET", "/schemas/ids/1") == (200, {"schema": text(X)})
    assert rest("GET", "/schemas/ids/1/schema") == (200, X)
    assert rest("GET", "/schemas/ids/1/subjects") == (200, ["a-value", "b-value"])
    versions = [{"subject": "a-value", "version": 1}, {"subject": "b-value", "version": 1}]
    assert rest("GET", "/schemas/ids/1/versions") == (200, versions)
    assert rest("GET", "/schemas/types") == (200, ["AVRO"])


def test_a_schema_can_be_looked_up_under_a_subject(rest: Rest) -> None:
    rest.register("a-value", X)
    found = {"subject": "a-value", "version": 1, "id": 1, "schema": text(X)}
    assert rest("POST", "/subjects/a-value", _body(json.dumps(X, indent=1))) == (200, found)
    assert rest("POST", "/subjects/a-value", _body(XY))[1]["error_code"] == 40403
    assert rest("POST", "/subjects/b-value", _body(X))[1]["error_code"] == 40401


def test_the_name_of_a_subject_may_hold_anything(rest: Rest) -> None:
    names = ["a/b", "a/versions/1", "ä b", "a%2Fb", "?", "a#b"]
    for name in names:
        assert rest.register(_escaped(name), X) == 1
    assert rest("GET", "/subjects")[1] == sorted(names)
    for name in names:
        assert rest("GET", f"/subjects/{_escaped(name)}/versions/1")[1]["subject"] == name
    assert rest("DELETE", "/subjects/a%2Fb") == (200, [1])
    assert rest("GET", "/subjects/a%2Fversions%2F1/versions") == (200, [1])


def _escaped(name: str) -> str:
    from urllib.parse import quote

    return quote(name, safe="")


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("GET", "/subjects/none/versions", None, 40401),
        ("GET", "/subjects/none/versions/1", None, 40401),
        ("DELETE", "/subjects/none", None, 40401),
        ("DELETE", "/subjects/none/versions/1", None, 40401),
        ("GET", "/subjects/a-value/versions/9", None, 40402),
        ("DELETE", "/subjects/a-value/versions/9", None, 40402),
        ("GET", "/subjects/a-value/versions/9/schema", None, 40402),
        ("GET", "/schemas/ids/99", None, 40403),
        ("GET", "/schemas/ids/99/schema", None, 40403),
        ("GET", "/schemas/ids/99/subjects", None, 40403),
        ("GET", "/schemas/ids/99/versions", None, 40403),
        ("DELETE", "/subjects/a-value?permanent=true", None, 40405),
        ("DELETE", "/subjects/a-value/versions/1?permanent=true", None, 40407),
        ("GET", "/config/a-value", None, 40408),
        ("GET", "/mode/a-value", None, 40409),
        ("DELETE", "/config/a-value", None, 40401),
        ("DELETE", "/mode/a-value", None, 40401),
        ("POST", "/subjects/a-value/versions", _body(OTHER), 409),
        ("POST", "/subjects/a-value/versions", {"schema": "{"}, 42201),
        ("POST", "/subjects/a-value/versions", {"schema": '"strin"'}, 42201),
        ("POST", "/subjects/a-value/versions", {}, 42201),
        ("POST", "/subjects/a-value/versions", _body(X) | {"schemaType": "PROTOBUF"}, 42201),
        (
            "POST",
            "/subjects/b-value/versions",
            _body(X) | {"references": [{"name": "B", "subject": "b", "version": 1}]},
            42201,
        ),
        ("POST", "/subjects/a-value", {"schema": "{"}, 42201),
        ("POST", "/subjects/b-value/versions", _body(X) | {"id": 7}, 42205),
        ("POST", "/subjects/%00/versions", _body(X), 42208),
        ("GET", "/subjects/a-value/versions/0", None, 42202),
        ("GET", "/subjects/a-value/versions/first", None, 42202),
        ("GET", "/subjects/a-value/versions/99999999999", None, 42202),
        ("DELETE", "/subjects/a-value/versions/x", None, 42202),
        ("POST", "/compatibility/subjects/a-value/versions/9", _body(X), 40402),
        ("POST", "/compatibility/subjects/none/versions/9", _body(X), 40401),
        ("POST", "/compatibility/subjects/a-value/versions/latest", {"schema": "{"}, 42201),
        ("PUT", "/config", {"compatibility": "SOME"}, 42203),
        ("PUT", "/config/a-value", {}, 42203),
        ("PUT", "/mode", {"mode": "SOME"}, 42204),
        ("POST", "/subjects/a-value/versions", [], 400),
        ("GET", "/nothing", None, 404),
        ("GET", "/schemas/ids/x", None, 404),
        ("PUT", "/subjects", None, 405),
    ],
)
def test_what_is_refused_has_confluents_code(
    rest: Rest, method: str, path: str, body: Any, code: int
) -> None:
    rest.register("a-value", X)
    status, said = rest(method, path, body)
    assert (said["error_code"], status) == (code, int(str(code)[:3]))
    assert said["message"]
    assert rest("GET", "/subjects/a-value/versions") == (200, [1])
    assert rest("GET", "/subjects") == (200, ["a-value"])


def test_answers_have_the_registrys_media_type(rest: Rest) -> None:
    for path in ("/subjects", "/subjects/none/versions", "/nothing"):
        kind = rest.client.get(path).headers["content-type"]
        assert kind.startswith("application/vnd.schemaregistry.v1+json")


def test_a_body_that_is_too_long_is_refused(rest: Rest) -> None:
    body = {"schema": " " * (1 << 20)}
    assert rest("POST", "/subjects/a-value/versions", body)[1]["error_code"] == 413


# Deleting


def test_a_deleted_version_counts_no_more_but_can_be_read(rest: Rest) -> None:
    rest.register("a-value", X)
    rest.register("a-value", XY)
    assert rest("DELETE", "/subjects/a-value/versions/latest") == (200, 2)
    assert rest("GET", "/subjects/a-value/versions") == (200, [1])
    assert rest("GET", "/subjects/a-value/versions", deleted="true") == (200, [1, 2])
    assert rest("GET", "/subjects/a-value/versions", deletedOnly="true") == (200, [2])
    assert rest("GET", "/subjects/a-value/versions/2")[1]["error_code"] == 40402
    assert rest("GET", "/subjects/a-value/versions/2", deleted="true")[1]["id"] == 2
    assert rest("GET", "/subjects/a-value/versions/latest")[1]["version"] == 1
    assert rest("GET", "/schemas/ids/2") == (200, {"schema": text(XY)})
    assert rest("GET", "/schemas/ids/2/subjects") == (200, [])
    assert rest("GET", "/schemas/ids/2/subjects", deleted="true") == (200, ["a-value"])
    assert rest("DELETE", "/subjects/a-value/versions/2")[1]["error_code"] == 40406


def test_what_was_deleted_comes_back_as_a_new_version_with_its_id(rest: Rest) -> None:
    rest.register("a-value", X)
    rest("DELETE", "/subjects/a-value")
    assert rest.register("a-value", X) == 1
    assert rest("GET", "/subjects/a-value/versions") == (200, [2])


def test_a_deleted_subject_is_gone_from_the_list_with_its_settings(rest: Rest) -> None:
    rest.register("a-value", X)
    rest.register("a-value", XY)
    rest("PUT", "/config/a-value", {"compatibility": "NONE"})
    rest("PUT", "/mode/a-value", {"mode": "READWRITE"})
    assert rest("DELETE", "/subjects/a-value") == (200, [1, 2])
    assert rest("GET", "/subjects") == (200, [])
    assert rest("GET", "/subjects", deleted="true") == (200, ["a-value"])
    assert rest("GET", "/subjects", deletedOnly="true") == (200, ["a-value"])
    assert rest("GET", "/subjects/a-value/versions")[1]["error_code"] == 40401
    assert rest("GET", "/config/a-value")[1]["error_code"] == 40408
    assert rest("GET", "/mode/a-value")[1]["error_code"] == 40409
    assert rest("DELETE", "/subjects/a-value")[1]["error_code"] == 40404
    assert rest("POST", "/subjects/a-value", _body(X))[1]["error_code"] == 40401
    assert rest("POST", "/subjects/a-value?deleted=True", _body(X))[1]["version"] == 1


def test_what_is_deleted_for_good_leaves_nothing_but_its_id_is_never_given_again(
    rest: Rest,
) -> None:
    rest.register("a-value", X)
    rest.register("b-value", XY)
    rest("DELETE", "/subjects/b-value")
    assert rest("DELETE", "/subjects/b-value", permanent="true") == (200, [1])
    assert rest("GET", "/subjects", deleted="true") == (200, ["a-value"])
    assert rest("GET", "/schemas/ids/2")[1]["error_code"] == 40403
    assert rest.register("b-value", XYZ) == 3


def test_one_version_can_be_deleted_for_good(rest: Rest) -> None:
    rest.register("a-value", X)
    rest.register("a-value", XY)
    rest("DELETE", "/subjects/a-value/versions/1")
    assert rest("DELETE", "/subjects/a-value/versions/1", permanent="true") == (200, 1)
    assert rest("GET", "/subjects/a-value/versions", deleted="true") == (200, [2])


# Compatibility, levels, modes


def test_whether_a_schema_could_follow_is_told_with_the_reason(rest: Rest) -> None:
    path = "/compatibility/subjects/a-value/versions"
    assert rest("POST", path, _body(X)) == (200, {"is_compatible": True})
    assert rest("POST", f"{path}/latest", _body(X)) == (200, {"is_compatible": True})
    rest.register("a-value", X)
    for place in (path, f"{path}/1", f"{path}/latest"):
        assert rest("POST", place, _body(XY)) == (200, {"is_compatible": True})
        assert rest("POST", place, _body(OTHER)) == (200, {"is_compatible": False})
        status, said = rest("POST", f"{place}?verbose=true", _body(OTHER))
        assert (status, said["is_compatible"]) == (200, False)
        assert "A.x" in said["messages"][0]
    assert rest("GET", "/subjects/a-value/versions") == (200, [1])


def test_only_transitive_levels_look_at_all_versions(rest: Rest) -> None:
    path = "/compatibility/subjects/a-value/versions"
    without = {"type": "record", "name": "A", "fields": []}
    as_text = {**without, "fields": [{"name": "x", "type": "string", "default": ""}]}
    for schema in (X, without):
        rest.register("a-value", schema)
    assert rest("POST", path, _body(as_text)) == (200, {"is_compatible": True})
    rest("PUT", "/config/a-value", {"compatibility": "BACKWARD_TRANSITIVE"})
    assert rest("POST", path, _body(as_text)) == (200, {"is_compatible": False})


def test_a_subjects_level_goes_before_the_default(rest: Rest) -> None:
    assert rest("GET", "/config") == (200, {"compatibilityLevel": "BACKWARD"})
    assert rest("PUT", "/config", {"compatibility": "FULL"}) == (200, {"compatibility": "FULL"})
    everywhere = {"compatibilityLevel": "FULL"}
    assert rest("GET", "/config/a", defaultToGlobal="true") == (200, everywhere)
    assert rest("PUT", "/config/a", {"compatibility": "none"}) == (200, {"compatibility": "NONE"})
    assert rest("GET", "/config/a") == (200, {"compatibilityLevel": "NONE"})
    assert rest("DELETE", "/config/a") == (200, {"compatibilityLevel": "NONE"})
    assert rest("GET", "/config/a", defaultToGlobal="true") == (200, everywhere)
    assert rest("DELETE", "/config") == (200, everywhere)
    assert rest("GET", "/config") == (200, {"compatibilityLevel": "BACKWARD"})


def test_what_is_read_only_takes_nothing_new(rest: Rest) -> None:
    rest.register("a-value", X)
    assert rest("PUT", "/mode/a-value", {"mode": "READONLY"}) == (200, {"mode": "READONLY"})
    refused = rest("POST", "/subjects/a-value/versions", _body(XY))
    assert refused[1]["error_code"] == 42205
    assert rest("DELETE", "/subjects/a-value")[1]["error_code"] == 42205
    assert rest.register("a-value", X) == 1
    assert rest.register("b-value", XY) == 2
    assert rest("DELETE", "/mode/a-value") == (200, {"mode": "READONLY"})
    assert rest.register("a-value", XY) == 2
    assert rest("PUT", "/mode", {"mode": "READONLY"}) == (200, {"mode": "READONLY"})
    assert rest("GET", "/mode/b-value", defaultToGlobal="true") == (200, {"mode": "READONLY"})
    refused = rest("POST", "/subjects/b-value/versions", _body(XYZ))
    assert refused[1]["error_code"] == 42205
    assert rest("DELETE", "/mode") == (200, {"mode": "READONLY"})
    assert rest("GET", "/mode") == (200, {"mode": "READWRITE"})
