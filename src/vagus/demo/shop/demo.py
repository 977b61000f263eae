"""The demonstration: the shop at work, while services go and come, and the books at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from vagus.demo.shop import catalogue, customer, order, payment, sales, shipping, stock
from vagus.demo.shop.books import Books
from vagus.demo.shop.customers import Customers
from vagus.demo.shop.staff import SERVICES, Staff
from vagus.errors import VagusError
from vagus.hub import TopicPartition, connect
from vagus.hub.schemas import HubRegistry
from vagus.services.views import Queries

if TYPE_CHECKING:
    from vagus.hub import Hub

_MODULES = (customer, catalogue, stock, order, payment, shipping)
_PIECES = 1_000_000  # of each product: enough for any number of orders
_PAYMENT_TIME = "5s"
_SETTLE_S = 300.0
_LOOK_S = 0.25
_LINE_S = 2.0  # between lines where there is no terminal to draw on

_COUNTED = (
    ("customer-event", "customers: registered or moved"),
    ("order-event", "orders: placed, confirmed or rejected"),
    ("stock-event", "stock: reserved, released or taken"),
    ("payment-event", "payments: asked for, received or failed"),
    ("shipping-event", "parcels on their way"),
)


def run(
    *,
    hub: str | None = None,
    orders: int = 1_000,
    seed: int = 1,
    port: int = 0,
    console: Console | None = None,
) -> Books:
    """Run the shop with a load of customers, and return its books.

    Each service is a process. While customers order, pay, fail to pay and move house, the customer
    service is taken down for a while, and the order service's process is killed. At the end a new
    view is made of all that happened, and the books are checked. `hub` is one to keep: a file, or
    Kafka, where views are kept in the folder that this runs in. Commands
    and queries are answered at `port` (0: any that is free). Raises VagusError if the books are
    wrong, or a service doesn't start.
    """
    console = console or Console(highlight=False)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="vagus-shop-")))
        opened = stack.enter_context(connect(hub or str(folder / "shop.db")))
        staff = stack.enter_context(Staff(opened, folder, {"SHOP_PAYMENT_TIME": _PAYMENT_TIME}))
        with console.status("Opening the shop: six services, each in a process of its own"):
            staff.start(*SERVICES)
        people = stack.enter_context(Customers(opened, seed))
        _welcome(console, stack.enter_context(_served(opened, port, console)))
        return _Day(console, opened, staff, people, folder, orders).run()


def _welcome(console: Console, url: str | None) -> None:
    console.print("The shop is open: customers, catalogue, stock, orders, payments, shipping.")
    if url is None:
        return
    console.print(f"Order something yourself ({url}/docs shows what to ask):", soft_wrap=True)
    body = '{"order_id":"mine","customer_id":1,"sku":"tea","pieces":2}'
    for line in (
        f"curl --json '{body}' {url}/commands/place-order",
        f"curl {url}/queries/orders/mine",
        f"curl '{url}/queries/orders?status=rejected&sort=-order_id&limit=5'",
    ):
        console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)
    console.print()


@contextmanager
def _served(hub: Hub, port: int, console: Console) -> Iterator[str | None]:
    """Answer commands and queries; without the extra for it, say so."""
    if not all(find_spec(needed) for needed in ("fastapi", "prometheus_client", "uvicorn")):
        console.print("pip install 'vagus\\[serve]' to order over HTTP.")
        yield None
        return
    from vagus.serve.gateway import Gateway

    services = [module.service for module in _MODULES]
    with Gateway(services, hub, address=("127.0.0.1", port)) as gateway:
        yield gateway.url


class _Day:
    """A day in the shop."""

    def __init__(
        self,
        console: Console,
        hub: Hub,
        staff: Staff,
        people: Customers,
        folder: Path,
        orders: int,
    ) -> None:
        self._console, self._hub, self._staff, self._people = console, hub, staff, people
        self._folder, self._orders = folder, orders

    def run(self) -> Books:
        began_s = time.monotonic()
        with _Counter(self._console, self._hub) as counter:
            self._people.arrive(_PIECES)
            counter.say("The customers have arrived.")
            self._people.order(self._orders // 3)
            self._people.move(5)
            self._without_customers(counter)
            self._with_a_crash(counter)
            counter.say("All orders are placed. Some payments are waited for in vain.")
            books = self._settled()
        self._console.print(f"All is settled after {time.monotonic() - began_s:.1f} s.")
        self._late_view()
        self._show(books)
        if wrong := books.wrong():
            raise VagusError(f"the books are wrong: not true that {'; '.join(wrong)}")
        return books

    def _without_customers(self, counter: _Counter) -> None:
        self._staff.stop("customer")
        before = self._people.placed
        self._people.order(self._orders // 3)
        placed = self._people.placed - before
        counter.say(
            f"While the customer service was down {placed} orders were placed: the order service "
            "has its own copy of what it needs of customers."
        )
        self._staff.start("customer")
        self._people.move(5)

    def _with_a_crash(self, counter: _Counter) -> None:
        rest = self._orders - self._people.placed
        ordering = threading.Thread(target=self._people.order, args=(rest,))
        ordering.start()
        self._staff.kill("order")
        counter.say("The order service's process was killed, in the middle of its work.")
        self._staff.start("order")
        ordering.join()
        counter.say("It is back, and went on from its last commit.")

    def _settled(self) -> Books:
        deadline = time.monotonic() + _SETTLE_S
        while True:
            books = Books.of(self._hub)
            if books.settled or time.monotonic() > deadline:
                return books
            time.sleep(_LOOK_S)

    def _late_view(self) -> None:
        """Make a view that nobody had thought of before, of all that happened."""
        began_s = time.monotonic()
        with Queries(
            sales.service,
            self._hub,
            registry=HubRegistry(self._hub),
            path=str(self._folder / "sales-views.db"),
        ) as queries:
            queries.refresh()
            table = Table(title="What was sold, since the start")
            for column in ("product", "orders", "pieces", "sum"):
                table.add_column(column, justify="left" if column == "product" else "right")
            for row in queries["sales"].find(sort="-cents"):
                table.add_row(row.sku, f"{row.orders:,}", f"{row.pieces:,}", _money(row.cents))
        self._console.print()
        self._console.print(table)
        took_s = time.monotonic() - began_s
        self._console.print(
            f"A view made just now, of all events since the start: {took_s:.2f} s.\n"
        )

    def _show(self, books: Books) -> None:
        table = Table(title="The books", show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for what, count in (
            ("orders placed", books.placed),
            ("confirmed", books.confirmed),
            ("rejected", books.rejected),
            ("parcels", books.shipped),
            ("pieces taken out of stock", books.pieces_taken),
            ("pieces in parcels", books.pieces_shipped),
            ("pieces still kept for orders", books.pieces_kept),
        ):
            table.add_row(what, f"{count:,}")
        table.add_row("paid", _money(books.cents_paid))
        table.add_row("owed for confirmed orders", _money(books.cents_confirmed))
        self._console.print(table)
        if not books.wrong():
            self._console.print("Stock, payments and orders add up, to the piece and the cent.")


def _money(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02}"


class _Counter:
    """Counts what happens, drawn anew on a terminal; elsewhere a line every two seconds."""

    def __init__(self, console: Console, hub: Hub) -> None:
        self._console, self._hub = console, hub
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Counter:
        if self._console.is_terminal:
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._live.stop()

    def say(self, text: str) -> None:
        """Say what is going on, above the counts."""
        self._console.print(text, soft_wrap=True)

    def _run(self) -> None:
        pause_s = _LOOK_S if self._console.is_terminal else _LINE_S
        counts = {topic: 0 for topic, _ in _COUNTED}
        places = [
            TopicPartition(topic, part.partition)
            for topic in counts
            for part in self._hub.describe_topic(topic).partitions
        ]
        with self._hub.reader(self._hub.offsets(places, "earliest")) as reader:
            while not self._stopping.wait(pause_s):
                while reads := reader.read():
                    for read in reads:
                        counts[read.partition.topic] += len(read)
                self._draw(counts)

    def _draw(self, counts: dict[str, int]) -> None:
        if self._console.is_terminal:
            table = Table(show_header=False)
            table.add_column()
            table.add_column(justify="right")
            for topic, what in _COUNTED:
                table.add_row(what, f"{counts[topic]:,}")
            self._live.update(table, refresh=True)
        else:
            shown = ", ".join(f"{topic} {counts[topic]:,}" for topic, _ in _COUNTED)
            self._console.print(shown, soft_wrap=True)
