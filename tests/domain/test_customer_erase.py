from __future__ import annotations

import pytest
from tests.domain.specification import given

from chaching.domain.customer import (
    Commercial,
    CustomerCreated,
    CustomerDeleted,
    CustomerErased,
    DeleteCustomer,
    EraseCustomer,
    Event,
    NoSuchCustomer,
    Personal,
    UpdateCustomer,
    fold,
)
from chaching.domain.ids import CustomerId
from chaching.domain.values import Details, ErasureReason

ID = CustomerId("cus_1")
COMMERCIAL = Commercial(invoice_prefix="PREFIX", balance=5)
CREATED = CustomerCreated(
    id=ID, livemode=False, created=1, commercial=COMMERCIAL, personal=Personal(name="Jane")
)
DELETED = CustomerDeleted(deleted_at=2)


def erase(reason: ErasureReason | None = None) -> EraseCustomer:
    return EraseCustomer(id=ID, at=3, reason=reason)


def erased(reason: ErasureReason | None = None) -> CustomerErased:
    return CustomerErased(erased_at=3, reason=reason)


@pytest.mark.parametrize("before", [(), (DELETED,)], ids=["living", "deleted"])
def test_a_customer_can_be_erased_whether_or_not_it_is_deleted(before: tuple[Event, ...]) -> None:
    given(CREATED, *before).when(erase("request")).then(erased("request"))


def test_an_erased_customer_is_deleted_and_nobody() -> None:
    after = fold([CREATED, erased()])
    assert after is not None
    assert (after.deleted, after.erased, after.personal) == (True, True, Personal())
    assert after.commercial == COMMERCIAL


def test_an_erased_customer_is_so_already() -> None:
    given(CREATED, erased()).when(erase("objection")).then_nothing()


def test_an_erased_customer_refuses_updates_and_deletion() -> None:
    given(CREATED, erased()).when(DeleteCustomer(id=ID, at=4)).then_refused(NoSuchCustomer(ID))
    update = UpdateCustomer(id=ID, at=4, details=Details(name="June"))
    given(CREATED, erased()).when(update).then_refused(NoSuchCustomer(ID))


def test_nobody_cannot_be_erased() -> None:
    given().when(erase()).then_refused(NoSuchCustomer(ID))
