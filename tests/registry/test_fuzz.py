"""Whatever is sent to the registry: it answers in its own form, and what it knows holds."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.registry.conftest import Rest, record, text
from vagus.hub import connect
from vagus.hub.schemas import HubRegistry

PATHS = [
    "/subjects",
    "/subjects/{s}",
    "/subjects/{s}/versions",
    "/subjects/{s}/versions/{v}",
    "/subjects/{s}/versions/{v}/schema",
    "/subjects/{s}/versions/{v}/referencedby",
    "/schemas/ids/{v}",
    "/schemas/ids/{v}/versions",
    "/compatibility/subjects/{s}/versions",
    "/compatibility/subjects/{s}/versions/{v}",
    "/config",
    "/config/{s}",
    "/mode",
    "/mode/{s}",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "name", "fields", "items"]), inner, max_size=4)
    ),
    max_leaves=8,
)
BODIES = st.one_of(
    st.binary(max_size=20),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.tuples(
        st.sampled_from(["schema", "compatibility", "mode", "id"]), JSON | JSON.map(json.dumps)
    ).map(lambda pair: json.dumps({pair[0]: pair[1], "schema": '"int"'} | dict([pair])).encode()),
)
SEGMENTS = st.sampled_from(["a", "latest", "1", "-1", "%2F", "%00", "%", "ä", "9" * 40])


@settings(max_examples=80)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    st.sampled_from(PATHS),
    SEGMENTS,
    SEGMENTS,
    st.sampled_from(["", "?deleted=true", "?permanent=true", "?verbose=x", "?=&%"]),
    BODIES,
)
def test_whatever_is_asked_is_answered_in_the_registrys_form(
    method: str, path: str, subject: str, version: str, query: str, body: bytes
) -> None:
    with connect(":memory:") as hub:
        rest = Rest(hub)
        rest.register("a", record("x"))
        place = path.format(s=subject, v=version) + query
        answer = rest.client.request(method, place, content=body)
        assert answer.status_code < 500, answer.text
        said = answer.json()
        if answer.status_code != 200:
            assert str(said["error_code"]).startswith(str(answer.status_code))
            assert said["message"]


SUBJECTS = st.sampled_from(["a", "b"])
SCHEMAS = st.sampled_from([text(record(*names)) for names in ("", "x", "xy", "xyz")])


class Life(RuleBasedStateMachine):
    """Registering and deleting in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = connect(":memory:")
        self.rest = Rest(self.hub)
        self.ids: dict[str, int] = {}
        self.ever: dict[int, str] = {}

    def teardown(self) -> None:
        self.hub.close()

    @rule(subject=SUBJECTS, schema=SCHEMAS)
    def register(self, subject: str, schema: str) -> None:
        schema_id = self.rest.register(subject, schema)
        assert self.ids.setdefault(schema, schema_id) == schema_id
        assert self.ever.setdefault(schema_id, schema) == schema

    @rule(subject=SUBJECTS, permanent=st.booleans())
    def delete(self, subject: str, permanent: bool) -> None:
        self.rest("DELETE", f"/subjects/{subject}?permanent={permanent}")
        self._forget_what_is_gone()

    @rule(subject=SUBJECTS, version=st.integers(1, 4), permanent=st.booleans())
    def delete_version(self, subject: str, version: int, permanent: bool) -> None:
        self.rest("DELETE", f"/subjects/{subject}/versions/{version}?permanent={permanent}")
        self._forget_what_is_gone()

    def _forget_what_is_gone(self) -> None:
        """What was deleted for good gets a new id; the old one is nobody's, for ever."""
        for schema, schema_id in list(self.ids.items()):
            if self.rest("GET", f"/schemas/ids/{schema_id}")[0] == 404:
                del self.ids[schema]

    @invariant()
    def what_it_knows_is_what_the_topic_says(self) -> None:
        with HubRegistry(self.hub).contents() as said:
            for deleted in (False, True):
                query = f"?deleted={deleted}"
                assert self.rest("GET", f"/subjects{query}")[1] == said.names(deleted=deleted)
                for subject in ("a", "b"):
                    status, found = self.rest("GET", f"/subjects/{subject}/versions{query}")
                    numbers = [each.number for each in said.versions(subject, deleted=deleted)]
                    assert numbers == (found if status == 200 else [])
                    assert numbers == sorted(set(numbers))

    @invariant()
    def every_id_that_counts_is_its_schema(self) -> None:
        for schema, schema_id in self.ids.items():
            assert self.rest("GET", f"/schemas/ids/{schema_id}") == (200, {"schema": schema})


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=10, stateful_step_count=10)
