"""The answers of POST /verify are written field by field, for speed: here their models check them."""

import pytest
from pydantic import ValidationError

from api.verify.bodies import HonouredBody, RefusedBody
from tests.support.ledger_rows import new_signature


@pytest.mark.parametrize("more", [{}, {"resource": "/api/report", "agentId": "agent"}], ids=["plain", "full"])
async def test_an_honoured_answer_has_the_documented_fields_and_no_other(vendor, more):
    reply = await vendor.client.verify(vendor.proof(await vendor.paid(), **more))
    assert reply.code == "VALID"
    HonouredBody.model_validate_json(reply.text)
    for declared in ("slot", "transactionId"):
        spoilt = reply.text.replace(f'"{declared}":', f'"undeclared":1,"{declared}":')
        with pytest.raises(ValidationError, match="undeclared"):
            HonouredBody.model_validate_json(spoilt)


async def test_a_refusal_has_the_documented_fields_and_no_other(vendor):
    replies = [
        await vendor.client.verify(vendor.proof(new_signature())),
        await vendor.client.verify(vendor.proof(await vendor.paid(), "1")),
        await vendor.api.verify(vendor.proof(await vendor.paid())),
    ]
    assert [reply.status for reply in replies] == [402] * 3
    for reply in replies:
        RefusedBody.model_validate_json(reply.text)
    with pytest.raises(ValidationError, match="undeclared"):
        RefusedBody.model_validate_json(replies[0].text.replace('"valid":', '"undeclared":1,"valid":'))
