"""The projector's process.

Settings: DATABASE_URL and MASTER_KEY, and optionally AMQP_URL and LOG_LEVEL.
"""

from __future__ import annotations

from chaching.eventstore.encryption import Keyring
from chaching.eventstore.errors import WrongMasterKey
from chaching.runtime import config, lifecycle, logs
from chaching_projector.runner import Projector


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 0 then, 1 when it cannot go on."""
    settings = config.read_or_exit(config.ProjectorConfig)
    logs.configure(settings.log_level)
    keyring = Keyring.of(settings.master_key)
    projector = Projector(settings.database_url, settings.amqp_url, keyring=keyring)
    lifecycle.run(projector.run, refused=(WrongMasterKey,))


if __name__ == "__main__":
    main()
