"""`chaching completion`: the lines that teach a shell to complete the command's words.

The shell asks the command itself at every Tab, through click. What is offered must not hold
characters that a shell expands.
"""

from typing import Any, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

PROGRAM: Final = "chaching"
VARIABLE: Final = "_CHACHING_COMPLETE"
COLON: Final = ":"


@add_completion_class
class ColonBash(BashComplete):
    """Bash breaks words at colons, and so rights and positions, and completes what is behind one.

    So words are put together again, and answers begin behind the last colon.
    """

    name = "bash"
    _behind = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words before the cursor, and the one that is begun."""
        words, begun = super().get_completion_args()
        whole = _joined([*words, begun] if begun else words)
        if begun:
            begun = whole.pop()
        self._behind = begun[: begun.rfind(COLON) + 1]
        return whole, begun

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return what bash puts in the place of its own word."""
        return f"{item.type},{item.value.removeprefix(self._behind)}"


SHELLS: Final[dict[str, type[ShellComplete]]] = {
    "bash": ColonBash,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command()
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell; the README says where it goes."""
    whole = context.find_root().command
    click.echo(SHELLS[shell](whole, {}, PROGRAM, VARIABLE).source(), nl=False)


def _joined(words: list[str]) -> list[str]:
    """Return words with those put together that a colon has parted."""
    whole: list[str] = []
    for word in words:
        if whole and (word == COLON or whole[-1].endswith(COLON)):
            whole[-1] += word
        else:
            whole.append(word)
    return whole
