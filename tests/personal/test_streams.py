"""Personal data is ciphertext in topics, state and tables, and plain where people read it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import polars as pl
import pytest

import vagus as vg
from tests.personal.people import ADA, BOB, Customer, Order, everything
from vagus.errors import DecodeError, EncodeError
from vagus.hub import Records, TopicPartition


def test_what_was_sent_is_read_but_not_stored() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    with vg.Client(app, ":memory:") as client:
        client.send(customers, [ADA, BOB])

        read = client.read(customers).select("customer_id", "email", "born", "credit").rows()
        assert read == [
            (1, "ada@example.com", date(1815, 12, 10), Decimal("12.50")),
            (2, "bob@example.com", None, None),
        ]
        assert b"London" in everything(client.hub)
        assert b"ada@" not in everything(client.hub)


def test_a_frame_is_encrypted_as_events_are() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    with vg.Client(app, ":memory:") as client:
        client.send(customers, Customer.to_frame([ADA, BOB]))

        assert client.read(customers)["email"].to_list() == ["ada@example.com", "bob@example.com"]
        assert b"bob@" not in everything(client.hub)


def test_a_forgotten_person_s_data_reads_as_none_and_others_stay() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    with vg.Client(app, ":memory:") as client:
        client.send(customers, [ADA, BOB])

        assert client.forget(1)

        assert client.read(customers).select("email", "born", "city").rows() == [
            (None, None, "London"),
            ("bob@example.com", None, "Bonn"),
        ]
        assert not client.forget(1)


def test_who_comes_back_gets_a_new_key_and_what_was_erased_stays_so() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    with vg.Client(app, ":memory:") as client:
        client.send(customers, ADA)
        client.forget(1)
        client.send(customers, ADA)

        assert client.read(customers)["email"].to_list() == [None, "ada@example.com"]


def test_functions_get_plain_events_and_what_they_return_is_encrypted() -> None:
    class Greeting(vg.Event):
        whom: int
        text: Annotated[str | None, vg.Personal("whom")] = None

    def greet(customer: Customer) -> Greeting:
        return Greeting(whom=customer.customer_id, text=f"Dear {customer.email}")

    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    customers.map_events(greet, into=Greeting).to("greeting")
    seen: list[Customer] = []
    app.on(customers)(seen.append)
    with vg.testing.Harness(app) as harness:
        harness.send(customers, [ADA, BOB])

        assert seen == [ADA, BOB]
        texts = ["Dear ada@example.com", "Dear bob@example.com"]
        assert harness.read("greeting")["text"].to_list() == texts
        assert b"ada@" not in everything(harness.hub)
        harness.client.forget(2)
        assert harness.read("greeting")["text"].to_list() == [texts[0], None]


def test_a_handler_is_given_none_for_what_is_erased() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    seen: list[Customer] = []
    app.on(customers)(seen.append)
    with vg.testing.Harness(app) as harness:
        harness.put(customers, ADA)
        harness.client.forget(1)
        harness.run()

        assert seen == [Customer(customer_id=1, city="London")]


def _joined() -> tuple[vg.App, Any, Any]:
    app = vg.App("shop")
    customers = app.table("customer", Customer, key="customer_id")
    orders = app.topic("order", Order, key="customer_id")
    named = orders.join(customers).rename({"email": "mail"}).select("order_id", "mail", "city")
    named.to("named")
    named.rekey("order_id").group_by().agg(mail=vg.last("mail")).to_table("mails")
    return app, customers, orders


def test_joins_renames_aggregates_and_tables_hand_the_data_on_and_forget_it() -> None:
    app, customers, orders = _joined()
    with vg.testing.Harness(app) as harness:
        harness.send(customers, [ADA, BOB])
        harness.send(
            orders, [Order(order_id="a", customer_id=1), Order(order_id="b", customer_id=2)]
        )

        assert harness.read("named").select("order_id", "mail", "city").rows() == [
            ("a", "ada@example.com", "London"),
            ("b", "bob@example.com", "Bonn"),
        ]
        view = harness.views["mails"]
        assert view.columns["mail"] == pl.String()
        assert view.get("a") == {"order_id": "a", "mail": "ada@example.com"}
        assert b"ada@" not in everything(harness.hub)

        harness.client.forget(1)

        assert harness.read("named")["mail"].to_list() == [None, "bob@example.com"]
        assert view.get("a") == {"order_id": "a", "mail": None}
        assert view.scan()["mail"].to_list() == [None, "bob@example.com"]
        assert view.page(1)[0]["mail"].to_list() == [None]


def test_state_survives_a_crash_and_still_holds_no_plain_data() -> None:
    app, customers, orders = _joined()
    with vg.testing.Harness(app) as harness:
        harness.send(customers, ADA)
        harness.restart()
        harness.send(orders, Order(order_id="a", customer_id=1))

        assert harness.views["mails"].get("a") == {"order_id": "a", "mail": "ada@example.com"}


def test_named_tuples_of_streams_without_a_class_are_decrypted() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    seen: list[Any] = []
    app.on(customers.select("customer_id", "email"))(seen.append)
    with vg.testing.Harness(app) as harness:
        harness.send(customers, ADA)

        assert [(one.customer_id, one.email) for one in seen] == [(1, "ada@example.com")]


def test_topics_of_several_types_and_in_json_are_encrypted_too() -> None:
    class Left(vg.Event):
        customer_id: int
        why: Annotated[str | None, vg.Personal("customer_id")] = None

    app = vg.App("shop")
    customers = app.topic("customer", Customer | Left, key="customer_id", form="json")
    seen: list[Any] = []
    app.on(customers)(seen.append)
    with vg.testing.Harness(app) as harness:
        left = Left(customer_id=2, why="too dear")
        harness.send(customers, [ADA, left])

        assert seen == [ADA, left]
        assert harness.read(customers).select("email", "why").rows() == [
            ("ada@example.com", None),
            (None, "too dear"),
        ]
        assert b"ada@" not in everything(harness.hub)
        assert b"dear" not in everything(harness.hub)


def test_an_event_made_without_a_person_becomes_a_dead_letter() -> None:
    class Guest(vg.Event):
        guest: str | None
        email: Annotated[str | None, vg.Personal("guest")] = None

    def guest(customer: Customer) -> Guest:
        named = None if customer.city == "Bonn" else str(customer.customer_id)
        return Guest(guest=named, email=customer.email)

    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    customers.map_events(guest, into=Guest).to("guest")
    with vg.testing.Harness(app) as harness:
        harness.send(customers, [ADA, BOB])

        assert harness.read("guest")["email"].to_list() == ["ada@example.com"]
        assert "the id of the person in 'guest'" in harness.dead_letters[0].error


def test_bytes_that_are_not_encrypted_are_not_written() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    frame = Customer.to_frame([ADA]).with_columns(pl.col("email").cast(pl.Binary))
    with (
        vg.Client(app, ":memory:") as client,
        pytest.raises(EncodeError, match="expected encrypted values"),
    ):
        client.send(customers, frame)


def test_a_value_that_was_changed_becomes_a_dead_letter_and_the_others_go_on() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    seen: list[Customer] = []
    app.on(customers)(seen.append)
    with vg.testing.Harness(app) as harness:
        harness.put(customers, [ADA, BOB])
        place = TopicPartition("customer", 0)
        with harness.hub.reader({place: 0}) as reader:
            (read,) = reader.read()
        value = bytearray(read.values.to_list()[0] or b"")
        value[-1] ^= 1
        records = Records.of([read.keys.to_list()[0]], [bytes(value)], [0])
        harness.hub.append([(place, records)])
        harness.run()

        assert seen == [ADA, BOB]
        assert "was changed" in harness.dead_letters[0].error


def test_a_value_moved_to_another_field_is_refused() -> None:
    class Names(vg.Event):
        person: int
        first: Annotated[str | None, vg.Personal("person")] = None
        last: Annotated[str | None, vg.Personal("person")] = None

    app = vg.App("people")
    names = app.topic("names", Names)
    swapped = app.topic("swapped", Names)
    with vg.Client(app, ":memory:") as client:
        client.send(names, Names(person=1, first="Ada", last="King"))
        sealed = client.keys.seal(
            Names.to_frame([Names(person=1, first="Ada", last="King")]), names.node.topic.marks
        )
        client.send(swapped, sealed.rename({"first": "last", "last": "first"}))

        with pytest.raises(DecodeError, match="encrypted as 'first'"):
            client.read(swapped)
