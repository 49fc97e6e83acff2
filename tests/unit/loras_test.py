"""Which file a LoRA's name means, and where a LoRA stands in the worker's graphs."""

import pytest

from worker import config
from worker.errors import InvalidInput
from worker.graph import fill
from worker.input.loras import Lora, choose
from worker.input.request import parse

LISTED = ["film/grain.safetensors", "old/style.pt", "style.safetensors", "win\\noise.safetensors", "new/grain.pt"]
SETTINGS = config.read({})


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("style.safetensors", "style.safetensors"),
        ("style", "style.safetensors"),
        ("old/style", "old/style.pt"),
        ("old\\style.pt", "old/style.pt"),
        ("win/noise", "win\\noise.safetensors"),
        ("noise", "win\\noise.safetensors"),
        (" grain.pt ", "new/grain.pt"),
    ],
)
def test_a_name_may_lack_its_folder_and_suffix_and_have_backslashes(name: str, file: str) -> None:
    (chosen,) = choose([Lora(name=name, strength=0.5)], LISTED, any_file=False)
    assert chosen == Lora(name=file, strength=0.5)


@pytest.mark.parametrize(
    ("name", "listed", "fault"),
    [
        ("grain", LISTED, r"is ambiguous: film/grain.safetensors or new/grain.pt: send its folder too"),
        ("film", LISTED, r"this endpoint has no LoRA 'film'; it has film/grain.safetensors, "),
        ("film", [], r"this endpoint has no LoRA 'film', nor any other: the operator adds them in models/loras"),
        ("film", [f"{n}.pt" for n in range(50)], r"19.pt and 30 more$"),
        ("film", [f"{n}.pt" for n in range(20)], r"19.pt$"),
        ("film", [f"{n}/film.pt" for n in range(50)], r" or 19/film.pt: send"),
    ],
)
def test_a_name_that_means_no_file_or_several_lists_what_there_is(name: str, listed: list[str], fault: str) -> None:
    with pytest.raises(InvalidInput, match=fault):
        choose([Lora(name=name, strength=1)], listed, any_file=False)


def test_one_that_lists_no_loras_as_it_has_no_use_for_any_takes_every_name() -> None:
    sent = [Lora(name="a", strength=0.5), Lora(name="b/c.pt", strength=1)]
    expected = (Lora(name="a.safetensors", strength=0.5), Lora(name="b/c.pt", strength=1))
    assert choose(sent, [], any_file=True) == expected
    with pytest.raises(InvalidInput) as caught:
        choose(sent, LISTED, any_file=True)
    assert caught.value.details["fields"].keys() == {"loras[0].name", "loras[1].name"}


@pytest.mark.parametrize("upscale", [{}, {"upscale": "1080p"}])
def test_every_diffusion_model_passes_through_the_loras_before_all_else(upscale: dict[str, str]) -> None:
    request = parse({"image": "aW1hZ2U=", **upscale}, SETTINGS)
    loras = [Lora(name="a.pt", strength=1), Lora(name="b.pt", strength=2)]
    options = ("torch_compile", "easycache")
    nodes = fill(request, request.form(1, 1), image_name="", prefix="", options=options, loras=loras).nodes
    loaders = [name for name, node in nodes.items() if node["class_type"] == "UNETLoader"]
    assert len(loaders) == (2 if upscale else 1)
    for loader in loaders:
        source = loader
        for lora in loras:
            (name,) = [name for name, node in nodes.items() if [source, 0] in node["inputs"].values()]
            assert nodes[name]["class_type"] == "LoraLoaderModelOnly"
            assert nodes[name]["inputs"]["lora_name"] == lora.name
            assert nodes[name]["inputs"]["strength_model"] == lora.strength
            source = name
        assert [name for name, node in nodes.items() if [source, 0] in node["inputs"].values()]
