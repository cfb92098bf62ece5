"""Hires fix and the refiner over A1111's interface: its fields, its infotext, and what is stored of both."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from tests.api.serving import Server
from tests.files.making import lora, write_safetensors

SMALL = {"prompt": "a cat", "negative_prompt": "fog", "steps": 4, "width": 64, "height": 64, "seed": 1}
HIRES = {"enable_hr": True, "denoising_strength": 0.6}


def infotext(client: TestClient, **fields: Any) -> str:
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, **fields})
    assert answer.status_code == 200, answer.text
    said: str = json.loads(answer.json()["info"])["infotexts"][0]
    return said.splitlines()[-1]


def refusal(client: TestClient, **fields: Any) -> tuple[int, str, str]:
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, **fields})
    body = answer.json()
    assert "code" in body, (fields, body)
    return answer.status_code, body["code"], body["field"]


def stored(server: Server) -> Any:
    return server.jobs.history(None, 1)[0].resolved


def upscaler_file(server: Server, name: str = "RealESRGAN_x4plus.pth") -> Path:
    folder = server.folders.upscalers[1]
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"params_ema": {"conv_first.weight": torch.zeros(2, 3, 3, 3), "body.0.weight": torch.zeros(2)}}, folder / name
    )
    return folder / name


def test_the_infotext_has_a1111s_keys_in_its_order(client: TestClient) -> None:
    # As recorded from A1111 for the same fields.
    written = infotext(
        client,
        **HIRES,
        hr_scale=2,
        hr_upscaler="Latent (bicubic antialiased)",
        hr_second_pass_steps=4,
        hr_prompt="a photo of a (dog:1.2)",
        hr_negative_prompt="rain",
        hr_sampler_name="DPM++ 2M",
        hr_scheduler="Karras",
    )
    assert (
        "Denoising strength: 0.6, RNG: CPU, Hires sampler: DPM++ 2M, "
        'Hires prompt: "a photo of a (dog:1.2)", Hires negative prompt: rain, Hires schedule type: Karras, '
        "Hires upscale: 2, Hires steps: 4, Hires upscaler: Latent (bicubic antialiased), " in written
    )
    assert "Size: 64x64" in written
    assert "Extension settings" not in written


def test_fields_left_out_have_a1111s_values(client: TestClient, server: Server) -> None:
    written = infotext(client, enable_hr=True)
    assert "Denoising strength: 0.75, RNG: CPU, Hires upscale: 2, Hires upscaler: Latent, " in written
    assert "Hires steps" not in written
    second = stored(server).passes["hires_fix"].request
    assert (second.width, second.height, second.steps, second.sampler) == (128, 128, 4, "Euler")


def test_the_answer_tells_what_a1111_tells(client: TestClient) -> None:
    answer = client.post("/sdapi/v1/txt2img", json={**SMALL, **HIRES, "hr_upscaler": "Lanczos"}).json()
    told = json.loads(answer["info"])
    assert told["denoising_strength"] == 0.6
    expected = {"Denoising strength": 0.6, "Hires upscale": 2, "Hires upscaler": "Lanczos"}
    assert told["extra_generation_params"] == expected
    assert (answer["parameters"]["enable_hr"], answer["parameters"]["hr_scale"]) == (True, 2.0)


def test_a_size_takes_the_place_of_the_factor(client: TestClient) -> None:
    written = infotext(client, **HIRES, hr_resize_x=96, hr_resize_y=128)
    assert "Hires resize: 96x128" in written
    assert "Hires upscale:" not in written


def test_both_checkpoints_and_all_prompts_are_files_and_texts_when_it_is_stored(
    client: TestClient, server: Server
) -> None:
    written = infotext(
        client,
        **HIRES,
        hr_checkpoint_name="other",
        hr_prompt="a dog # by the sea",
        refiner_checkpoint="other",
        refiner_switch_at=0.5,
    )
    resolved = stored(server)
    second = resolved.passes["hires_fix"]
    assert Path(second.checkpoint.path).stem == "other"
    assert second.request.prompt.strip() == "a dog"
    assert second.passes["refiner"].request.prompt == second.request.prompt
    assert Path(resolved.passes["refiner"].checkpoint.path).stem == "other"
    short = second.checkpoint.sha256[:10]
    assert f"Hires checkpoint: other [{short}]" in written
    assert f"Refiner: other [{short}], Refiner switch at: 0.5" in written


def test_each_pass_has_the_networks_of_its_own_prompt(client: TestClient, server: Server) -> None:
    for name in ("ink", "oil"):
        write_safetensors(server.folders.loras[0] / f"{name}.safetensors", lora(768), metadata={"n": name})
    server.library.refresh("lora")
    infotext(client, **HIRES | {"prompt": "a cat <lora:ink:0.5>", "hr_prompt": "a dog <lora:oil:0.7:0.2>"})
    resolved = stored(server)
    assert [(use.name, use.text, use.unet) for use in resolved.networks] == [("ink", 0.5, 0.5)]
    second = resolved.passes["hires_fix"]
    assert [(use.name, use.text, use.unet) for use in second.networks] == [("oil", 0.7, 0.2)]
    infotext(client, **HIRES | {"prompt": "a cat <lora:ink:0.5>"})
    resolved = stored(server)
    assert resolved.passes["hires_fix"].networks == resolved.networks


def test_an_upscaler_is_a_file_when_it_is_stored(client: TestClient, server: Server) -> None:
    path = upscaler_file(server)
    assert "Hires upscaler: R-ESRGAN 4x+" in infotext(client, **HIRES, hr_upscaler="realesrgan_x4plus")
    assert stored(server).upscalers["R-ESRGAN 4x+"].path == str(path)


def test_what_cannot_be_made_is_refused_with_the_field(client: TestClient) -> None:
    missing = "No Such Thing"
    assert refusal(client, **HIRES, hr_upscaler=missing)[:2] == (422, "unknown_choice")
    assert refusal(client, **HIRES, hr_checkpoint_name=missing)[:2] == (404, "model_not_found")
    assert refusal(client, **HIRES, hr_sampler_name=missing)[1] == "unknown_choice"
    assert refusal(client, **HIRES, hr_scale=400)[1:] == ("invalid_field", "extensions.hires_fix.upscale_by")
    assert refusal(client, **HIRES, hr_resize_x=20_000)[1] == "invalid_field"
    assert refusal(client, refiner_checkpoint=missing)[:2] == (404, "model_not_found")
    assert refusal(client, refiner_checkpoint="other", refiner_switch_at=2)[1] == "invalid_field"


def test_a_first_pass_image_is_kept_and_named_by_the_job(client: TestClient, server: Server) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (1, 2, 3)).save(file, "PNG")
    infotext(client, **HIRES, firstpass_image=base64.b64encode(file.getvalue()).decode())
    digest = stored(server).request.extensions["hires_fix"]["first_picture"]
    assert server.jobs.history(None, 1)[0].resolved.passes
    assert digest in set(server.store.hashes())


def test_the_options_of_both_are_overrides(client: TestClient, server: Server) -> None:
    overrides = {"hires_fix_refiner_pass": "first pass", "refiner_switch_by_sample_steps": True}
    written = infotext(client, **HIRES, refiner_checkpoint="other", override_settings=overrides)
    assert "Hires refiner: first pass" in written
    assert "Refiner switch by sampling steps: True" in written
    assert stored(server).passes["hires_fix"].passes == {}


def test_an_infotext_asks_for_both_again(client: TestClient, server: Server) -> None:
    first = infotext(
        client, **HIRES, hr_scale=1.5, hr_prompt="a dog", refiner_checkpoint="other", refiner_switch_at=0.3
    )
    before = stored(server)
    again = infotext(client, infotext=f"a cat\nNegative prompt: fog\n{first}")
    after = stored(server)
    assert again == first
    drifting = {"checkpoint", "variation_seed", "extensions"}
    wanted, found = (one.passes["hires_fix"].request.model_dump(exclude=drifting) for one in (before, after))
    assert found == wanted
    assert after.passes["refiner"].checkpoint == before.passes["refiner"].checkpoint


@pytest.mark.parametrize("path", ["upscalers", "latent-upscale-modes", "realesrgan-models"])
def test_the_lists_have_a1111s_shape(client: TestClient, server: Server, path: str) -> None:
    file = upscaler_file(server)
    expected = {
        "upscalers": {
            "name": "R-ESRGAN 4x+",
            "model_name": "R-ESRGAN 4x+",
            "model_path": str(file),
            "model_url": None,
            "scale": 4.0,
        },
        "latent-upscale-modes": {"name": "Latent (nearest-exact)"},
        "realesrgan-models": {"name": "R-ESRGAN 4x+", "path": str(file), "scale": 4.0},
    }
    listed = client.get(f"/sdapi/v1/{path}").json()
    assert listed[-1] == expected[path]
    if path == "upscalers":
        assert [item["name"] for item in listed[:3]] == ["None", "Lanczos", "Nearest"]
