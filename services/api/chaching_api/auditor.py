"""The auditor: keeps the Merkle tree of the log and signs what it comes to.

Theory of operation. One process at a time holds the lease ``audit``; others stand by and take over
within seconds. The holder looks at the log every ``FOLLOW_EVERY_S``, not at each ring of the
doorbell: a step of one event costs about as much as one of a hundred, and appends must not pay for
it. It signs a checkpoint ``SIGN_EVERY_S`` after the last one if the log has grown since, and soon
after somebody rang on ``ASKED_CHANNEL``, but never more often than every ``SIGN_PAUSE_S``. A ring
may be lost with its connection, so the connection is made anew now and then, and whoever rings does
not depend on being heard.

Every checkpoint is told in the log as ``checkpoint_signed`` with its note, so that checkpoints are
kept wherever logs are. The signing key is in this process alone.

A tree that does not fit what was signed is not signed again: ``tree_broken`` says what was found,
and the process ends with 1. Whoever starts it again finds the same; ``chaching audit verify`` names
the first bad position.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from contextlib import suppress
from typing import Final

from chaching.audit.asking import ASKED_CHANNEL
from chaching.audit.growing import LEASE_NAME, GrowingTree
from chaching.audit.notes import SigningKey
from chaching.audit.stored import SESSION_SETTINGS, TreeBroken
from chaching.eventstore.database import Database
from chaching.eventstore.errors import Fenced, Unavailable
from chaching.eventstore.lease import SILENCE_MAX_S, Held, Lease
from chaching.runtime.lifecycle import supervised
from chaching.runtime.logs import logger

FOLLOW_EVERY_S: Final = 1.0
SIGN_EVERY_S: Final = 10.0
SIGN_PAUSE_S: Final = 1.0
LISTEN_AGAIN_EVERY_S: Final = 60.0
STATEMENT_TIMEOUT_S: Final = 60.0
SESSIONS_MAX: Final = 3


class Auditor:
    """One would-be holder; ``run`` runs until cancelled and survives outages by itself."""

    def __init__(
        self,
        database_url: str,
        key: SigningKey,
        *,
        silence_max_s: float = SILENCE_MAX_S,
        sign_every_s: float = SIGN_EVERY_S,
    ) -> None:
        self._key = key
        self._sign_every_s = sign_every_s
        self._database = Database(
            database_url,
            name="auditor",
            sessions_max=SESSIONS_MAX,
            statement_timeout_s=STATEMENT_TIMEOUT_S,
            settings=SESSION_SETTINGS,
        )
        holder = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lease = Lease(self._database, LEASE_NAME, holder, silence_max_s=silence_max_s)
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Keep the tree.

        Raises:
            TreeBroken: what is stored does not fit together; nothing more is signed.
        """
        await self._database.open()
        try:
            await supervised(
                "auditor", self._lead, expected=(Unavailable, Fenced), fatal=(TreeBroken,)
            )
        finally:
            await self._database.close()

    async def _lead(self) -> None:
        async with self._lease.holding() as held:
            logger().info("leadership_taken", lease=LEASE_NAME, epoch=held.epoch)
            try:
                await self._keep_tree(held)
            except TreeBroken as error:
                logger().error("tree_broken", reason=str(error))
                raise

    async def _keep_tree(self, held: Held) -> None:
        tree = await GrowingTree.open(self._database, self._lease, held, self._key)
        signed_at_s, wanted = -self._sign_every_s, False
        while True:
            async with self._database.listening(ASKED_CHANNEL, self._asked.set):
                listen_until_s = self._now() + LISTEN_AGAIN_EVERY_S
                while self._now() < listen_until_s:
                    wanted = wanted or self._asked.is_set()
                    self._asked.clear()
                    await tree.catch_up()
                    every_s = SIGN_PAUSE_S if wanted else self._sign_every_s
                    if not tree.is_signed and self._now() - signed_at_s >= every_s:
                        signed_at_s = self._now()
                        await _sign(tree)
                    wanted = wanted and not tree.is_signed
                    await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FOLLOW_EVERY_S):
                await self._asked.wait()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


async def run_auditor(database_url: str, key: SigningKey) -> None:
    """Run an auditor until cancelled."""
    await Auditor(database_url, key).run()


async def _sign(tree: GrowingTree) -> None:
    signed = await tree.sign()
    size, root = signed.checkpoint.size, signed.checkpoint.root
    logger().info("checkpoint_signed", size=size, root_hash=root.hex(), note=signed.note)
