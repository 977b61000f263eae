"""Tokens as text."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest

from vagus.hub import TopicPartition
from vagus.services.token import ExpiredToken, ForeignToken, MalformedToken, Token

PLACE = TopicPartition("orders-events", 3)
OTHER = TopicPartition("orders-events", 4)


def text_of(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode()


def test_a_token_comes_back_as_it_was_written():
    token = Token("orders", {PLACE: 17, OTHER: 0, TopicPartition("a/b ?", 0): 1 << 40})
    assert Token.parse(token.text()) == token


def test_a_token_needs_no_escaping_in_an_address():
    text = Token("örders", {PLACE: 17}).text()
    assert text.isascii()
    assert text.replace("-", "").replace("_", "").isalnum()


def test_padding_is_optional():
    token = Token("orders", {PLACE: 1})
    for padding in ("", "=", "==", "==="):
        assert Token.parse(token.text() + padding) == token


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "nonsense!",
        "ä",
        "a" * 20_000,
        text_of([]),
        text_of({}),
        text_of({"v": 1}),
        text_of({"v": 1, "s": "orders", "t": 0, "p": []}),
        text_of({"v": 1, "s": "orders", "t": 0, "p": {"a": 3}}),
        text_of({"v": 1, "s": "orders", "t": 0, "p": {"a": {"x": 3}}}),
        text_of({"v": 1, "s": "orders", "t": 0, "p": {"a": {"0": -1}}}),
        text_of({"v": 1, "s": "orders", "t": 0, "p": {"a": {"0": 1.5}}}),
        text_of({"v": 1, "s": "orders", "t": 0, "p": {"a": {"0": True}}}),
        text_of({"v": 1, "s": 7, "t": 0, "p": {}}),
        text_of({"v": 1, "s": "orders", "t": "x", "p": {}}),
        urlsafe_b64encode(b"[" * 10_000).decode(),
    ],
)
def test_what_is_no_token_is_refused(text: str):
    with pytest.raises(MalformedToken, match="expected a token, got"):
        Token.parse(text)


def test_a_token_of_another_version_is_refused_and_says_so():
    with pytest.raises(MalformedToken, match="version 1, got one of 2"):
        Token.parse(text_of({"v": 2}))


def test_a_token_of_another_service_is_foreign():
    with pytest.raises(ForeignToken, match="service 'stock', got one of 'orders'"):
        Token("orders", {PLACE: 1}, 0).check("stock", now_ms=0, max_age_s=60)


def test_an_old_token_is_expired():
    token = Token("orders", {PLACE: 1}, 0)
    token.check("orders", now_ms=60_000, max_age_s=60)
    with pytest.raises(ExpiredToken, match="last 60 s, got one that is 61 s old"):
        token.check("orders", now_ms=61_000, max_age_s=60)


def test_joined_tokens_are_reached_when_both_are():
    joined = Token("orders", {PLACE: 5, OTHER: 1}, 3).joined(Token("orders", {PLACE: 4}, 9))
    assert joined == Token("orders", {PLACE: 5, OTHER: 1}, 9)


def test_tokens_of_two_services_cannot_be_joined():
    with pytest.raises(ForeignToken):
        Token("orders", {}).joined(Token("stock", {}))
