"""Keeps a CRM's table of contacts equal to the customers that Chaching tells of.

Settings: AMQP_URL, the broker of Chaching; DATABASE_URL, the CRM's own PostgreSQL.
"""

import logging
import os

import asyncpg

from chaching.subscriber import (
    Connection,
    CustomerDeleted,
    CustomerErased,
    CustomerEvent,
    Event,
    Inbox,
    Subscription,
    run,
)

TABLE = """
    CREATE TABLE IF NOT EXISTS contacts (
        account text, mode text, customer_id text, name text, email text,
        PRIMARY KEY (account, mode, customer_id)
    )
"""
KEEP = """
    INSERT INTO contacts VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (account, mode, customer_id)
    DO UPDATE SET name = EXCLUDED.name, email = EXCLUDED.email
"""
FORGET = "DELETE FROM contacts WHERE (account, mode, customer_id) = ($1, $2, $3)"


async def keep_contact(event: Event, connection: Connection) -> None:
    """Write what an event says, in the transaction that also notes that it is done."""
    key = (event.account, event.mode, event.customer_id)
    match event:
        case CustomerDeleted() | CustomerErased():
            await connection.execute(FORGET, *key)
        case CustomerEvent(customer=customer):
            await connection.execute(KEEP, *key, customer.name, customer.email)
        case _:
            pass  # of a type that came after this program


async def main() -> None:
    database_url = os.environ["DATABASE_URL"]
    connection = await asyncpg.connect(database_url)
    await connection.execute(TABLE)
    await connection.close()
    subscription = Subscription(os.environ["AMQP_URL"], queue="crm.contacts")
    await subscription.run(keep_contact, inbox=Inbox(database_url))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    run(main)
