"""Pictures of other programs: NovelAI, InvokeAI, Fooocus, SwarmUI, ComfyUI and others."""

from __future__ import annotations

import json
from typing import Any

from app.schema.infotext.names import a1111_names, file_stem
from app.schema.infotext.programs import read_json_text, read_picture_items
from app.schema.infotext.reader import read_infotext_text
from app.schema.infotext.text import Infotext

NOVELAI = {"uc": "lowres", "steps": 28, "sampler": "k_euler_ancestral", "seed": 999, "scale": 11.0, "strength": 0.4}
INVOKE: dict[str, Any] = {
    "app_version": "4.2.0",
    "positive_prompt": "a lighthouse",
    "negative_prompt": "fog",
    "model": {"name": "stable-diffusion-xl", "hash": "blake3:00"},
    "scheduler": "dpmpp_2m_k",
    "seed": 777,
    "rand_device": "cpu",
    "steps": 25,
    "cfg_scale": 7.5,
    "width": 1024,
    "height": 768,
    "loras": [{"model": {"name": "ink.safetensors"}, "weight": 0.75}],
    "seamless_x": False,
}
FOOOCUS = {
    "prompt": "an astronaut",
    "negative_prompt": "low quality",
    "base_model": "juggernautXL.safetensors",
    "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras",
    "seed": "42",
    "steps": 30,
    "guidance_scale": 4.0,
    "resolution": "(1152, 896)",
    "loras": [["offset", 0.1, "4852686128"]],
    "performance": "Speed",
    "version": "Fooocus v2.5.5",
}
SWARM = {
    "sui_image_params": {
        "prompt": "a cat",
        "negativeprompt": "dog",
        "model": "OfficialStableDiffusion/sd_xl_base_1.0",
        "seed": 1,
        "steps": 20,
        "cfgscale": 7.0,
        "width": 1024,
        "height": 1024,
        "comfyuisampler": "euler_ancestral",
        "swarm_version": "0.9.3.1",
    },
    "sui_extra_data": {"date": "2025-01-25"},
}


def graph() -> dict[str, Any]:
    """Two passes, a LoRA, clip skip and a VAE file, as ComfyUI's API format has them."""
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": ["20", 0],
                "steps": 20,
                "cfg": 8,
                "sampler_name": "dpmpp_2m",
                "scheduler": "karras",
                "denoise": 1.0,
                "model": ["10", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["5", 0],
            },
        },
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd\\v1-5.safetensors"}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["12", 0], "clip": ["11", 0]}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["11", 0]}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["30", 0], "vae": ["9", 0]}},
        "9": {"class_type": "VAELoader", "inputs": {"vae_name": "kl-f8.pt"}},
        "10": {
            "class_type": "LoraLoader",
            "inputs": {"lora_name": "ink.safetensors", "strength_model": 0.8, "model": ["4", 0], "clip": ["4", 1]},
        },
        "11": {"class_type": "CLIPSetLastLayer", "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]}},
        "12": {"class_type": "Text", "inputs": {"text": "a castle"}},
        "20": {"class_type": "Seed", "inputs": {"seed": 5}},
        "30": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 6,
                "steps": 10,
                "cfg": 8,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 0.5,
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["7", 0],
                "latent_image": ["31", 0],
            },
        },
        "31": {"class_type": "LatentUpscale", "inputs": {"samples": ["3", 0], "width": 1024, "height": 1536}},
    }


def test_novelais_picture_is_told_as_a1111_tells_it() -> None:
    items = {"Software": "NovelAI", "Description": "1girl", "Comment": json.dumps(NOVELAI)}
    read = read_picture_items(items, 512, 768)
    assert read is not None
    assert read.text() == (
        "1girl\nNegative prompt: lowres\nSteps: 28, Sampler: Euler a, CFG scale: 11.0, Seed: 999, Size: 512x768, "
        "Clip skip: 2, ENSD: 31337"
    )


def test_novelais_comment_alone_and_its_hidden_form() -> None:
    comment = {**NOVELAI, "prompt": "1girl", "width": 64, "height": 96}
    read = read_infotext_text(json.dumps(comment))
    assert (read.program, read.prompt, read.fields["Size"]) == ("NovelAI", "1girl", "64x96")
    hidden = {"Software": "NovelAI", "Description": "2girls", "Comment": json.dumps(comment)}
    assert read_infotext_text(json.dumps(hidden)).prompt == "2girls"


def test_invokeais_metadata() -> None:
    read = read_picture_items({"invokeai_metadata": json.dumps(INVOKE)})
    assert read == Infotext(
        "a lighthouse <lora:ink:0.75>",
        "fog",
        {
            "Steps": "25",
            "Sampler": "DPM++ 2M",
            "Schedule type": "Karras",
            "CFG scale": "7.5",
            "Seed": "777",
            "Size": "1024x768",
            "Model": "stable-diffusion-xl",
            "RNG": "CPU",
            "seamless_x": "False",
            "Version": "InvokeAI 4.2.0",
        },
        program="InvokeAI",
    )


def test_fooocus_metadata_keep_what_has_no_key_of_a1111s() -> None:
    read = read_infotext_text(json.dumps(FOOOCUS))
    assert read.prompt == "an astronaut <lora:offset:0.1>"
    assert read.fields == {
        "Steps": "30",
        "Sampler": "DPM++ 2M SDE",
        "Schedule type": "Karras",
        "CFG scale": "4.0",
        "Seed": "42",
        "Size": "1152x896",
        "Model": "juggernautXL",
        "performance": "Speed",
        "Version": "Fooocus v2.5.5",
    }


def test_swarmuis_parameters() -> None:
    read = read_infotext_text(json.dumps(SWARM))
    assert (read.program, read.prompt, read.negative_prompt) == ("SwarmUI", "a cat", "dog")
    assert read.fields == {
        "Steps": "20",
        "Sampler": "Euler a",
        "CFG scale": "7.0",
        "Seed": "1",
        "Size": "1024x1024",
        "Model": "sd_xl_base_1.0",
        "Version": "SwarmUI 0.9.3.1",
    }


def test_easy_diffusions_texts_are_names_of_their_own() -> None:
    items = {
        "prompt": "an oasis",
        "negative_prompt": "cactus",
        "seed": "2024",
        "use_stable_diffusion_model": "C:\\models\\sd-v1-5.ckpt",
        "sampler_name": "euler_a",
        "width": "512",
        "height": "512",
        "num_inference_steps": "25",
        "guidance_scale": "7.5",
    }
    read = read_picture_items(items)
    assert read is not None
    assert (read.program, read.prompt, read.fields["Model"]) == ("Easy Diffusion", "an oasis", "sd-v1-5")
    assert (read.fields["Sampler"], read.fields["Steps"]) == ("Euler a", "25")


def test_comfyuis_graph_says_its_first_pass() -> None:
    read = read_picture_items({"prompt": json.dumps(graph()), "workflow": "{}"})
    assert read == Infotext(
        "a castle <lora:ink:0.8>",
        "blurry",
        {
            "Steps": "20",
            "Sampler": "DPM++ 2M",
            "Schedule type": "Karras",
            "CFG scale": "8",
            "Seed": "5",
            "Size": "512x768",
            "Model": "v1-5",
            "VAE": "kl-f8",
            "Clip skip": "2",
            "RNG": "CPU",
            "SGM noise multiplier": "True",
            "Version": "ComfyUI",
        },
        program="ComfyUI",
    )


def test_a_graph_that_runs_in_circles_or_has_no_sampler_does_no_harm() -> None:
    circle = graph()
    circle["6"]["inputs"] = {"conditioning": ["6", 0]}
    circle["4"]["inputs"] = {"model": ["10", 0]}
    circle["5"] = "no node"
    read = read_json_text(json.dumps(circle))
    assert read is not None
    assert (read.prompt, "Model" in read.fields) == (" <lora:ink:0.8>", False)
    assert read_json_text('{"1": {"class_type": "LoadImage", "inputs": {}}}') is None


def test_json_of_no_known_program_is_prompt_text() -> None:
    for text in ('{"a": 1}', "{red|blue}", "{" * 5000 + "}" * 5000, '{"steps": ' + "9" * 5000 + "}", "[]"):
        assert read_json_text(text) is None
        assert read_infotext_text(text).prompt == text
    assert read_picture_items({"Software": "NovelAI", "Comment": "broken"}) is None
    assert read_picture_items({"Comment": "made with love"}) is None


def test_names_of_samplers_and_files() -> None:
    assert a1111_names("dpmpp_3m_sde_gpu", "ddim_uniform") == ("DPM++ 3M SDE", "DDIM")
    assert a1111_names("", "euler_a") == ("Euler a", "")
    assert a1111_names("res_multistep", "bong_tangent") == ("res_multistep", "bong_tangent")
    assert a1111_names("k_dpm_2_a", "") == ("DPM2 a", "")
    assert a1111_names("", "") == ("", "")
    assert [file_stem(path) for path in ("a/b.c.safetensors", "x\\y.ckpt", "v1.0", "")] == ["b.c", "y", "v1.0", ""]
