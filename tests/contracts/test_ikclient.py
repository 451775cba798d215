"""The unmodified Python client, blocking and asynchronous, against running deployments."""

from __future__ import annotations

from uuid import UUID

import cv2
import pytest

from tests.contracts.workflows import PAGE_LOST

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]
COINS_SIZE = [384, 303]


@pytest.fixture(params=["", "async_"], ids=["blocking", "async"])
def ask(request, person):
    """Return `ask(scenario, **arguments)` of one of the two clients."""
    return lambda scenario, **arguments: person.ask(request.param + scenario, **arguments)


def test_a_run_gives_the_picture_of_the_final_task(ask, edges_endpoint, picture):
    [edges] = ask("run", endpoint=edges_endpoint, picture=picture)
    assert (edges["key"], edges["format"], edges["size"]) == ("image", "png", COINS_SIZE)


def test_parameters_change_the_result(ask, blur_endpoint, picture):
    plain, blurred = ask(
        "run_parameters", endpoint=blur_endpoint, picture=picture, task="ocv_blur", parameters={"kSizeWidth": 31, "kSizeHeight": 31}
    )
    assert blurred["format"] == "jpeg"
    assert blurred["roughness"] < 0.7 * plain["roughness"]


def test_a_context_names_outputs_of_any_task_and_parameters_of_any_task(ask, edges_endpoint, picture):
    outputs = [["ocv_canny", 0], ["ocv_blur", 0], ["ocv_blur", None]]
    edges, blurred, again = ask(
        "run_context", endpoint=edges_endpoint, picture=picture, outputs=outputs, parameters={"ocv_blur": {"kSizeWidth": "3"}}
    )
    assert [edges["format"], blurred["format"]] == ["png", "jpeg"]
    assert blurred == again
    [without] = ask("run_context", endpoint=edges_endpoint, picture=picture, outputs=[["ocv_blur", 0]], parameters={})
    assert without["roughness"] < blurred["roughness"]


def test_progress_is_told_from_sending_to_success(ask, edges_endpoint, picture):
    told = ask("progress", endpoint=edges_endpoint, picture=picture)
    assert told["names"] == ["soft_edges"]
    assert told["uuids"] == [told["uuid"]]
    assert UUID(told["uuid"]).version == 7
    assert "SENDING" in told["states"]
    assert set(told["states"]) <= {"BLOCKING", "SENDING", "PENDING", "STARTED", "SUCCESS"}
    assert told["states"][-1] == "SUCCESS"
    assert told["results"]
    known = [eta for state, eta in zip(told["states"], told["etas"], strict=True) if state in ("PENDING", "STARTED")]
    assert all(low <= high for low, high in known if low is not None)


def test_a_picture_of_one_deployment_is_the_input_of_the_next(ask, blur_endpoint, edges_endpoint, picture):
    told = ask("chain", first=blur_endpoint, second=edges_endpoint, picture=picture)
    assert [result["format"] for result in told["between"] + told["after"]] == ["jpeg", "png"]


def test_detections_of_one_deployment_are_the_input_of_the_next(ask, detector_endpoint, filter_endpoint, picture):
    told = ask("chain", first=detector_endpoint, second=filter_endpoint, picture=picture)
    before, after = ({result["key"]: result.get("data") for result in told[when]} for when in ("between", "after"))
    assert len(before["OBJECT_DETECTION"]["detections"]) > 5
    assert len(after["OBJECT_DETECTION"]["detections"]) == len(before["OBJECT_DETECTION"]["detections"])


def test_a_failed_run_raises_with_the_message_of_the_engine(ask, failing_endpoint, picture):
    told = ask("failure", endpoint=failing_endpoint, picture=picture)
    assert PAGE_LOST in told["message"]
    assert (told["status"], told["last"]) == (520, "FAILURE")


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"inputs": [], "outputs": [{"task_name": "ocv_bluur"}], "parameters": []}, "ocv_bluur"),
        (
            {
                "inputs": [],
                "outputs": [{"task_name": "ocv_blur"}],
                "parameters": [{"task_name": "ocv_blur", "task_index": 0, "parameters": {"size": "3"}}],
            },
            "size",
        ),
        ({"inputs": [{"image": "bm90IGEgcGljdHVyZQ=="}], "outputs": [{"task_name": "ocv_blur"}], "parameters": []}, "image"),
    ],
)
def test_a_call_that_cannot_run_is_refused_in_words(ask, blur_endpoint, body, part):
    told = ask("refused", endpoint=blur_endpoint, body=body)
    assert told["status"] == 422
    assert part in told["body"]["detail"]
    assert set(told["body"]) >= {"code", "detail", "request_id"}


def test_an_unknown_parameter_is_known_to_the_client_before_it_calls(person, blur_endpoint):
    told = person.ask("misuse", endpoint=blur_endpoint, task="ocv_blur", parameters={"size": 3})
    assert "'size' not found on 'kSizeWidth, kSizeHeight'" in told["message"]


def test_a_wrong_token_stops_at_the_service(person, blur_endpoint):
    told = person.ask("locked_out", endpoint=blur_endpoint, wrong_token="slw_wrong")
    assert told["status"] == 401
    assert told["url"].startswith(f"{person.url}/v1/projects/jwt/")


def test_a_result_is_saved_as_a_picture_that_others_read(person, edges_endpoint, picture, tmp_path):
    saved = person.ask("save_picture", endpoint=edges_endpoint, picture=picture, path=tmp_path / "edges.png")
    pixels = cv2.imread(saved, cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert list(pixels.shape[:2]) == COINS_SIZE[::-1]
    assert set(pixels.flat) == {0, 255}


def test_runs_side_by_side_are_runs_of_their_own(person, edges_endpoint, picture):
    told = person.ask("async_side_by_side", endpoint=edges_endpoint, picture=picture, count=8)
    assert len(told["uuids"]) == 8
    assert [look == told["looks"][0] for look in told["looks"]] == [True] * 8
