"""What a registry says when it says no: the codes and words of Confluent's."""

from __future__ import annotations

from typing import Any

from fastapi.responses import Response
from pydantic_core import to_json

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "integer"}, "message": {"type": "string"}},
}


class Refusal(Exception):
    """Answers a request with a code. Its first three digits are the status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    def response(self) -> Response:
        """The answer."""
        return answer({"error_code": self.code, "message": self.message}, int(str(self.code)[:3]))


class _Kind:
    """Makes refusals of one kind, out of what was asked for."""

    def __init__(self, code: int, text: str) -> None:
        self._code, self._text = code, text

    def __call__(self, *facts: object) -> Refusal:
        return Refusal(self._code, self._text.format(*facts))


bad_request = _Kind(400, "{}")
no_page = _Kind(404, "HTTP 404 Not Found")
incompatible = _Kind(
    409,
    'Schema being registered is incompatible with an earlier schema for subject "{}", details: {}',
)
too_long = _Kind(413, "expected a body of at most {} bytes")
no_subject = _Kind(40401, "Subject '{}' not found.")
no_version = _Kind(40402, "Version {} not found.")
no_such_schema = _Kind(40403, "Schema not found")
no_schema = _Kind(40403, "Schema {} not found")
subject_gone = _Kind(
    40404, "Subject '{}' was soft deleted. Set permanent=true to delete permanently"
)
subject_there = _Kind(40405, "Subject '{}' was not deleted first before being permanently deleted")
version_gone = _Kind(
    40406, "Subject '{}' Version {} was soft deleted. Set permanent=true to delete permanently"
)
version_there = _Kind(
    40407, "Subject '{}' Version {} was not deleted first before being permanently deleted"
)
no_level = _Kind(40408, "Subject '{}' does not have subject-level compatibility configured")
no_mode = _Kind(40409, "Subject '{}' does not have subject-level mode configured")
bad_schema = _Kind(42201, "Invalid schema: {}")
bad_version = _Kind(
    42202,
    "The specified version '{}' is not a valid version id. Allowed values are between "
    '[1, 2^31-1] and the string "latest"',
)
bad_level = _Kind(42203, "Invalid compatibility level {!r}. Valid values are {}")
bad_mode = _Kind(42204, "Invalid mode {!r}. Valid values are {}")
read_only = _Kind(42205, "Subject '{}' is in read-only mode")
no_import = _Kind(42205, "Subject '{}' is not in import mode")
referred_to = _Kind(42206, "One or more references exist to subject '{}' version {}.")
bad_subject = _Kind(42208, "The specified subject {!r} is not valid.")
store_failed = _Kind(50001, "Error in the backend data store: {}")


def answer(value: Any, status: int = 200) -> Response:
    """A value as the registry's JSON."""
    return Response(to_json(value), status, media_type=MEDIA_TYPE)
