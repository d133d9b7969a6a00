"""A subscriber without a database, as a process that ends itself: writes down what it is given.

Environment: AMQP_URL, QUEUE, PREFIX, WRITTEN (a file of positions, one a line, one run behind the
other), DIES_AT such as ``taken:400``.
"""

from __future__ import annotations

import os

from tests.campaigns.subscriber import come_to

from chaching.runtime import logs
from chaching.subscriber import Subscription, run


async def iterate(written: int) -> None:
    subscription = Subscription(
        os.environ["AMQP_URL"], os.environ["QUEUE"], prefix=os.environ["PREFIX"]
    )
    async for event in subscription:
        os.write(written, b"%d\n" % event.position)
        come_to("taken")


def main() -> None:
    logs.configure()
    written = os.open(os.environ["WRITTEN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(written, b"run\n")
    run(lambda: iterate(written))


if __name__ == "__main__":
    main()
