"""Requests as the tests of parameters write them, and what is read from them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaching.domain.values import Details
from chaching_api.bodies import Tree, decode_form, decode_json
from chaching_api.errors import Malformed
from chaching_api.parameters import CreateInput, UpdateInput, read_create, read_update

AT = 1_680_893_993


def counting_ids() -> Callable[[str], str]:
    made: list[str] = []

    def new_id(prefix: str) -> str:
        made.append(prefix)
        return f"{prefix}{len(made)}"

    return new_id


def creating(tree: Tree, *, livemode: bool = False) -> CreateInput:
    return read_create(tree, livemode=livemode, at=AT, new_id=counting_ids())


def updating(tree: Tree, *, livemode: bool = False) -> UpdateInput:
    return read_update(tree, livemode=livemode, at=AT, new_id=counting_ids())


def details(form: str) -> Details:
    """What a form says, on create and on update alike."""
    tree = decode_form(form.encode())
    created = creating(tree).details
    assert updating(tree).details == created
    return created


def refusal(form: str, *, livemode: bool = False) -> Malformed:
    with pytest.raises(Malformed) as on_create:
        creating(decode_form(form.encode()), livemode=livemode)
    with pytest.raises(Malformed) as on_update:
        updating(decode_form(form.encode()), livemode=livemode)
    assert on_create.value.message == on_update.value.message
    return on_create.value


def json_details(text: str) -> Details:
    return creating(decode_json(text.encode())).details
