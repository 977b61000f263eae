"""The customers: they register, order, pay or don't, and move house."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vagus.demo.shop import catalogue, customer, order, payment, stock
from vagus.demo.shop.contracts import (
    AddProduct,
    ChangeAddress,
    DeclinePayment,
    Pay,
    PaymentRequested,
    PlaceOrder,
    ReceiveGoods,
    RegisterCustomer,
)
from vagus.hub import TopicPartition
from vagus.hub.contract import Closing
from vagus.hub.schemas import HubRegistry
from vagus.runtime.topic import TopicCodec
from vagus.services import CommandTimedOut, Overloaded

if TYPE_CHECKING:
    from vagus.hub import Hub
    from vagus.services import Command, Outcome, Service

__all__ = ["Customers"]

PRODUCTS = {"tea": 450, "coffee": 790, "cocoa": 620, "honey": 980}
_STREETS = ("Long Street", "Mill Lane", "Station Road", "Church Walk", "Hill Rise")
_CONCURRENT = 20
_PAYS, _DECLINES = 0.75, 0.9  # of those who are to pay; the others never answer


class Customers(Closing):
    """Everybody who wants something of the shop. What they do follows from the seed.

    Each command has an idempotency key and is sent until it is answered, so that it is done once
    even while services come and go.
    """

    def __init__(self, hub: Hub, seed: int, *, count: int = 40) -> None:
        self._hub, self._count = hub, count
        self._random = random.Random(seed)
        self._clients = {
            service.name: service.connect(hub)
            for service in (customer.service, catalogue.service, stock.service, order.service)
        }
        self._clients["payment"] = payment.service.connect(hub)
        self._wallets = _Wallets(hub, payment.service, self._pay, seed)
        self.placed = 0
        self.moved = 0

    def arrive(self, pieces: int) -> None:
        """Offer products, fill the shelves with `pieces` of each, and register."""
        asyncio.run(self._arrive(pieces))
        self._wallets.start()

    def order(self, count: int) -> None:
        """Place so many orders, and move house now and then if the customer service answers."""
        asyncio.run(self._order(count))

    def move(self, count: int) -> None:
        """Have so many customers move house."""
        asyncio.run(self._move(count))

    async def _arrive(self, pieces: int) -> None:
        for sku, cents in PRODUCTS.items():
            await self.send("catalogue", AddProduct(sku=sku, title=sku.title(), cents=cents))
            await self.send("stock", ReceiveGoods(sku=sku, pieces=pieces))
        await _side_by_side(
            [
                self.send(
                    "customer",
                    RegisterCustomer(
                        customer_id=number,
                        full_name=f"Customer {number}",
                        address=self._address(),
                    ),
                )
                for number in range(1, self._count + 1)
            ]
        )

    async def _order(self, count: int) -> None:
        async def place(command: PlaceOrder) -> None:
            await self.send("order", command)
            self.placed += 1

        commands = [
            PlaceOrder(
                order_id=f"order-{self.placed + number}",
                customer_id=self._random.randint(1, self._count),
                sku=self._random.choice([*PRODUCTS, "moon"] if number % 20 == 0 else [*PRODUCTS]),
                pieces=self._random.randint(1, 5),
            )
            for number in range(1, count + 1)
        ]
        await _side_by_side([place(command) for command in commands])

    async def _move(self, count: int) -> None:
        for _ in range(count):
            number = self._random.randint(1, self._count)
            command = ChangeAddress(customer_id=number, address=self._address())
            await self.send("customer", command)
            self.moved += 1

    async def send(self, service: str, command: Command) -> Outcome:
        """Send a command until it is answered."""
        key = f"{self._random.getrandbits(64):x}"
        while True:
            try:
                return await self._clients[service].send(
                    command, idempotency_key=key, timeout_s=5.0
                )
            except (CommandTimedOut, Overloaded):
                continue

    def _pay(self, command: Command) -> None:
        key = f"pay {command.order_id}"  # type: ignore[attr-defined]
        self._clients["payment"].call(command, idempotency_key=key, wait=False)

    def _address(self) -> str:
        return f"{self._random.randint(1, 99)} {self._random.choice(_STREETS)}"

    def close(self) -> None:
        """Go home."""
        self._wallets.close()
        for client in self._clients.values():
            client.close()


async def _side_by_side(tasks: list[Any]) -> None:
    limit = asyncio.Semaphore(_CONCURRENT)

    async def one(task: Any) -> None:
        async with limit:
            await task

    await asyncio.gather(*(one(task) for task in tasks))


class _Wallets(Closing):
    """Answers requests for payment: pays most, declines some, ignores the rest."""

    def __init__(
        self, hub: Hub, service: Service, send: Callable[[Command], None], seed: int
    ) -> None:
        self._hub, self._send, self._seed = hub, send, seed
        self._topic = service.topics["payment-event"]
        self._codec = TopicCodec(self._topic, HubRegistry(hub))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wallets", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        info = self._hub.describe_topic(self._topic.name)
        partitions = [TopicPartition(self._topic.name, one.partition) for one in info.partitions]
        with self._hub.reader(dict.fromkeys(partitions, 0)) as reader:
            while not self._stopping.is_set():
                for read in reader.read(wait_s=0.2):
                    frame = self._codec.decode(read).frame
                    asked = frame.filter(frame["_type"] == PaymentRequested.__name__)
                    for order_id, cents in asked.select("order_id", "cents").iter_rows():
                        self._answer(order_id, cents)

    def _answer(self, order_id: str, cents: int) -> None:
        mood = random.Random(f"{self._seed} {order_id}").random()
        if mood < _PAYS:
            self._send(Pay(order_id=order_id, cents=cents))
        elif mood < _DECLINES:
            self._send(DeclinePayment(order_id=order_id))

    def close(self) -> None:
        """Stop."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
