"""The catalogue, against the published tables."""

from __future__ import annotations

import pytest

from billing.pricing import Unit
from controlplane.common.errors import InvalidInput
from deployments.offers import find_offer, find_product, offers

# provider, flavour, size: vCPU, RAM in GB, micro-credits a unit
PUBLISHED = {
    "AWS SERVERLESS S": (3, 4, 829),
    "AWS SERVERLESS M": (4, 6, 836),
    "AWS SERVERLESS L": (5, 8, 842),
    "AWS SERVERLESS XL": (6, 10, 849),
    "AWS CLUSTER XS": (2, 8, 4770),
    "GCP CLUSTER XS": (2, 8, 4970),
    "SCALEWAY CLUSTER XS": (2, 8, 2590),
    "AWS CLUSTER S": (4, 8, 8020),
    "GCP CLUSTER S": (4, 16, 9040),
    "SCALEWAY CLUSTER S": (4, 16, 4890),
    "AWS CLUSTER M": (8, 16, 15320),
    "GCP CLUSTER M": (8, 32, 17180),
    "SCALEWAY CLUSTER M": (8, 32, 9430),
    "AWS CLUSTER L": (16, 32, 29910),
    "GCP CLUSTER L": (16, 64, 33450),
    "SCALEWAY CLUSTER L": (16, 64, 18550),
    "AWS CLUSTER XL": (32, 64, 59080),
    "GCP CLUSTER XL": (32, 128, 65990),
    "SCALEWAY CLUSTER XL": (32, 128, 36840),
    "AWS GPU XS": (4, 16, 21320),
    "GCP GPU XS": (4, 16, 26870),
    "SCALEWAY GPU XS": (8, 16, 36340),
    "AWS GPU S": (8, 32, 32630),
    "GCP GPU S": (8, 32, 34950),
    "SCALEWAY GPU S": (8, 48, 32350),
    "AWS GPU M": (4, 16, 38260),
    "GCP GPU M": (16, 64, 46620),
    "SCALEWAY GPU M": (16, 96, 63600),
    "AWS GPU L": (8, 32, 49750),
    "GCP GPU L": (12, 85, 125860),
    "SCALEWAY GPU L": (8, 96, 51510),
    "AWS GPU XL": (16, 64, 66360),
    "GCP GPU XL": (12, 170, 174260),
    "SCALEWAY GPU XL": (24, 240, 114850),
}


def test_every_published_row_is_an_offer_with_its_rate_as_a_whole_number() -> None:
    found = {offer.product: (offer.vcpu, offer.ram_mb // 1024, offer.price.micro_credits) for offer in offers()}

    assert found == PUBLISHED


def test_execution_is_paid_by_the_millisecond_and_instances_by_the_second() -> None:
    assert {(offer.flavour, offer.price.unit) for offer in offers()} == {
        ("SERVERLESS", Unit.MILLISECOND),
        ("CLUSTER", Unit.SECOND),
        ("GPU", Unit.SECOND),
    }


@pytest.mark.parametrize(
    ("product", "regions"),
    [
        ("AWS GPU S", ("FRANCE", "GERMANY", "IRELAND")),
        ("AWS GPU M", ("GERMANY", "IRELAND")),
        ("GCP CLUSTER M", ("NETHERLANDS", "US_CENTRAL")),
        ("SCALEWAY GPU XL", ("FRANCE",)),
    ],
)
def test_an_offer_has_the_published_regions(product: str, regions: tuple[str, ...]) -> None:
    offer = find_product(product)

    assert offer is not None
    assert offer.regions == regions


def test_an_offer_is_found_whatever_name_the_client_has_for_its_provider() -> None:
    offer = find_offer(provider="scaleway_via_scaledynamics", region="france", flavour="cluster", size="m")

    assert offer.product == "SCALEWAY CLUSTER M"
    assert offer.backend == "local"


@pytest.mark.parametrize(
    ("wanted", "field", "told"),
    [
        ({"provider": "AZURE"}, "provider", "AWS, GCP, SCALEWAY"),
        ({"provider": "GCP", "flavour": "SERVERLESS"}, "flavour", "CLUSTER, GPU"),
        ({"region": "US_EAST"}, "region", "FRANCE, GERMANY, IRELAND"),
        ({"flavour": "GPU", "size": "M"}, "size", "XS, S"),
        ({"flavour": "SERVERLESS", "size": "XS"}, "size", "S, M, L, XL"),
    ],
)
def test_a_wrong_wish_is_answered_with_what_exists(wanted: dict[str, str], field: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        find_offer(**{"provider": "AWS", "region": "FRANCE", "flavour": "CLUSTER", "size": "M", **wanted})

    assert refusal.value.code == "unknown_offer"
    assert set(refusal.value.fields or {}) == {field}
    assert told in refusal.value.detail


def test_an_offer_that_has_ended_stays_listed_and_says_why_it_cannot_be_had() -> None:
    offer = find_product("SCALEWAY GPU XS")

    assert offer is not None
    assert not offer.available
    with pytest.raises(InvalidInput, match="end") as refusal:
        find_offer(provider="SCALEWAY", region="FRANCE", flavour="GPU", size="XS")
    assert refusal.value.code == "offer_unavailable"
