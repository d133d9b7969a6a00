"""Given these events, when this command, then this event or this refusal."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from chaching.domain.customer import Command, Event, Rejected, decide, fold


def given(*events: Event) -> Given:
    return Given(events)


@dataclass(frozen=True)
class Given:
    events: tuple[Event, ...]

    def when(self, command: Command) -> When:
        return When(self.events, command)


@dataclass(frozen=True)
class When:
    events: tuple[Event, ...]
    command: Command

    def then(self, expected: Event) -> None:
        assert decide(self.command, fold(self.events)) == expected

    def then_nothing(self) -> None:
        assert decide(self.command, fold(self.events)) is None

    def then_refused(self, refusal: Rejected) -> None:
        with pytest.raises(type(refusal)) as raised:
            decide(self.command, fold(self.events))
        assert (str(raised.value), raised.value.param) == (str(refusal), refusal.param)
