"""`chaching completion`: the lines that teach a shell to complete the command's words."""

from typing import Final

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

PROGRAM: Final = "chaching"
# the shell asks the command itself through this variable; the name is click's
VARIABLE: Final = "_CHACHING_COMPLETE"
SHELLS: Final[dict[str, type[ShellComplete]]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command()
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell; the README says where it goes."""
    whole = context.find_root().command
    click.echo(SHELLS[shell](whole, {}, PROGRAM, VARIABLE).source())
