from __future__ import annotations

import pytest

from chaching.domain.customer import (
    Commercial,
    CustomerCreated,
    ListFull,
    Personal,
    UpdateCustomer,
    decide,
    evolve,
)
from chaching.domain.ids import CustomerId
from chaching.domain.values import PAYMENT_METHODS_MAX, TAX_IDS_MAX, Details, TaxId


@pytest.mark.parametrize(
    ("details", "param"),
    [
        (Details(payment_method="pm_one_more"), "payment_method"),
        (
            Details(tax_ids=(TaxId(id="txi_x", type="eu_vat", value="DE999", created=1),)),
            "tax_id_data",
        ),
    ],
)
def test_what_can_be_attached_has_a_limit(details: Details, param: str) -> None:
    full = CustomerCreated(
        id=CustomerId("cus_full"),
        livemode=False,
        created=1,
        commercial=Commercial(
            invoice_prefix="FULL",
            payment_methods=tuple(f"pm_{number}" for number in range(PAYMENT_METHODS_MAX)),
        ),
        personal=Personal(
            tax_ids=tuple(
                TaxId(id=f"txi_{number}", type="eu_vat", value=f"DE{number}", created=1)
                for number in range(TAX_IDS_MAX)
            )
        ),
    )
    command = UpdateCustomer(id=CustomerId("cus_full"), at=2, details=details)
    with pytest.raises(ListFull, match="up to 200") as refused:
        decide(command, evolve(None, full))
    assert refused.value.param == param
