import aio_pika

from chaching.eventstore.database import Database


async def test_the_session_has_a_database_where_others_can_be_made(database_admin_url: str) -> None:
    database = Database(database_admin_url, name="tests", sessions_max=1)
    await database.open()
    [row] = await database.fetch(
        "SELECT rolcreatedb, current_setting('server_version_num')::int"
        " FROM pg_roles WHERE rolname = current_user"
    )
    await database.close()
    assert row[0] is True
    assert row[1] >= 150000


async def test_the_session_has_a_broker_with_quorum_queues(amqp_url: str) -> None:
    connection = await aio_pika.connect(amqp_url, timeout=10)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(
            "tests.probe", durable=True, arguments={"x-queue-type": "quorum"}
        )
        assert queue.declaration_result.message_count == 0
        await queue.delete(if_unused=False, if_empty=False)
