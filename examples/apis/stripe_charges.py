"""The charges of a Stripe account: each page begins after the last id; times are seconds since 1970."""

from etl.sources import (After, Bearer, Choice, Contract, Integer, JsonApiSource, Since, Text, Time,  # noqa: I001
    field, setting, timedelta)  # fmt: skip


class Charge(Contract):
    id: Text
    amount: Integer  # in the currency's smallest unit
    currency: Text
    status: Choice = field(choices=["succeeded", "pending", "failed"])
    created: Time = field(epoch="seconds")


class StripeCharges(JsonApiSource):
    name, every, contract = "stripe_charges", "*/15 * * * *", Charge
    base_url, endpoint = "https://api.stripe.com", "/v1/charges"
    params, records = {"limit": "100"}, "data"
    auth, pages = Bearer(setting("STRIPE_KEY")), After("starting_after", of="id", more="has_more")
    # Stripe filters by creation, and a charge's status may change for days after it.
    since = Since("created[gte]", of="created", overlap=timedelta(days=7), format="seconds", until="created[lte]")
    unified = {"external_id": "id", "name": "id", "category": "status", "value": "amount", "currency": "currency",
               "event_timestamp": "created"}  # fmt: skip
