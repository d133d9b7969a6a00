"""The yardstick of the gateway: an aiohttp application that does nothing."""

import asyncio
import sys

import uvloop
from aiohttp import web


async def nothing(_request: web.Request) -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")


async def main(port: int) -> None:
    app = web.Application()
    app.add_routes([web.get("/", nothing), web.post("/", nothing)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
