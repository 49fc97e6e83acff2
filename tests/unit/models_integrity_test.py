"""Which files pass as the model they say they are."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.catalogue import ModelFile
from worker.models.integrity import MAX_HEADER, find_fault, note_size

VAE = ModelFile("vae.safetensors", "vae", "https://example.com/vae", "https://example.com/vae", 1000, "conv_in.weight")
HEADER = {
    "__metadata__": {"format": "pt"},
    "decoder.conv_in.weight": {"dtype": "F16", "shape": [50], "data_offsets": [0, 100]},
    "decoder.other": {"dtype": "F16", "shape": [200], "data_offsets": [100, 500]},
}


def safetensors(header: object, data: int) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


def fault_of(folder: Path, content: bytes) -> str | None:
    path = folder / "vae.safetensors"
    path.write_bytes(content)
    return find_fault(path, VAE)


def test_a_whole_file_has_no_fault_and_another_size_than_published_is_noted(tmp_path: Path) -> None:
    assert fault_of(tmp_path, safetensors(HEADER, 500)) is None
    note = note_size(tmp_path / "vae.safetensors", VAE)
    assert note is not None
    assert "the published file 1,000" in note


def test_a_file_of_the_published_size_is_not_noted(tmp_path: Path) -> None:
    path = tmp_path / "vae.safetensors"
    path.write_bytes(bytes(1000))
    assert note_size(path, VAE) is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Sign in</html>", "is a web page, not a model: it begins with b'<!DOCTYPE"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "is a Git LFS pointer"),
        (safetensors(HEADER, 499), "is cut"),
        (safetensors(HEADER, 0)[:40], "is cut"),
        (safetensors(HEADER, 501), "has 1 bytes too many"),
        (safetensors({"encoder.weight": {"data_offsets": [0, 8]}}, 8), "is another kind of model"),
        (safetensors([1, 2], 8), "is not a safetensors file"),
        (safetensors({}, 0), "is another kind of model: it has no tensor conv_in.weight"),
        (safetensors({}, 1), "has 1 bytes too many"),
        (safetensors({"conv_in.weight": 5}, 8), "has a damaged header"),
        (b"\xff" * 7 + b"\0{", "is not a safetensors file of a model: its header would have"),
        (b" \n<HTML>" + bytes(99), "is a web page, not a model: it begins with b' \\n<HTML>"),
        (safetensors({"conv_in.weight": {"data_offsets": "many"}}, 8), "has a damaged header"),
        (safetensors(HEADER, 500).replace(b'"shape"', b'"shape}'), "has a damaged header"),
    ],
)
def test_an_unfit_file_is_named(tmp_path: Path, content: bytes, fault: str) -> None:
    assert (fault_of(tmp_path, content) or "no fault").startswith(fault)


def test_a_missing_file_a_folder_and_a_dangling_link_are_named(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert find_fault(tmp_path / "missing", VAE) == "does not exist"
    assert find_fault(tmp_path / "dangling", VAE) == "does not exist"
    assert (find_fault(tmp_path, VAE) or "").startswith("cannot be read")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.binary(max_size=64)
    | st.builds(safetensors, json_values, st.integers(0, 20))
    | st.builds(lambda offsets: safetensors({"conv_in.weight": {"data_offsets": offsets}}, 8), json_values)
)
def test_no_content_whatever_raises(scratch: Path, content: bytes) -> None:
    fault = fault_of(scratch, content)
    assert fault is None or fault


def test_a_header_is_read_up_to_its_limit_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "vae.safetensors"
    longest = json.dumps({**HEADER, "__metadata__": {"a": ""}}).encode()
    text = longest[:-1] + b" " * (MAX_HEADER - len(longest)) + b"}"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(500))
    assert find_fault(path, VAE) is None
    with path.open("wb") as file:  # sparse: only its length is there
        file.write((MAX_HEADER + 1).to_bytes(8, "little") + b"{")
        file.truncate(MAX_HEADER + 9)
    assert f"{MAX_HEADER:,}" in (find_fault(path, VAE) or "no fault")
