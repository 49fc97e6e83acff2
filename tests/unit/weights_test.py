"""The weights that bench/weights.py makes: which files, how large, and what is in them."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bench import safetensors, weights
from bench.safetensors import BLOCK, BYTES, Tensor, to_fp8
from worker import catalogue
from worker.models.integrity import find_fault

SETS = catalogue.MODEL_SETS
MODELS = {model.path: model for model in catalogue.load(SETS, {})}
DTYPES = {"F32": np.float32, "F16": np.float16, "F8_E4M3": np.uint8}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    weights.write_all(folder, "tiny", SETS)
    return folder


def read(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a file; fp8 as bytes."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    data = memoryview(content)[start:]
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], DTYPES[entry["dtype"]])
        for name, entry in json.loads(content[8:start]).items()
    }


def from_fp8(code: int) -> float:
    sign, exponent, fraction = -1 if code & 128 else 1, code >> 3 & 15, code & 7
    return sign * (fraction / 8 * 2.0**-6 if exponent == 0 else (1 + fraction / 8) * 2.0 ** (exponent - 7))


def test_every_file_of_the_catalogue_is_made(tiny: Path) -> None:
    assert {path.relative_to(tiny) for path in tiny.rglob("*") if path.is_file()} == set(MODELS)


@pytest.mark.parametrize("path", MODELS, ids=str)
def test_a_tiny_file_is_whole_small_and_of_its_kind(tiny: Path, path: Path) -> None:
    assert find_fault(tiny / path, MODELS[path]) is None
    assert (tiny / path).stat().st_size < 30e6


@pytest.mark.parametrize("path", MODELS, ids=str)
def test_a_full_file_has_the_published_size(path: Path) -> None:
    size = safetensors.size(weights.layout("full", SETS)[path])
    published = MODELS[path].size
    assert published is not None
    assert size == pytest.approx(published, rel=0.02 if MODELS[path].about else 1e-6)


def test_what_is_written_has_the_size_that_was_told(tmp_path: Path) -> None:
    tensors = [Tensor("a", "F16", (3, 5), 1), Tensor("b", "F8_E4M3", (2,)), Tensor("c", "F32", (), value=2)]
    assert safetensors.write(tmp_path / "file", tensors, 0) == safetensors.size(tensors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_every_value_lies_at_a_multiple_of_its_size(tiny: Path) -> None:
    for path in MODELS:
        content = (tiny / path).read_bytes()
        length = int.from_bytes(content[:8], "little")
        assert length % 8 == 0
        for entry in json.loads(content[8 : 8 + length]).values():
            assert entry["data_offsets"][0] % BYTES[entry["dtype"]] == 0


def test_a_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    tensors = [Tensor("a", "F16", (64, 64), 0.1), Tensor("b", "F8_E4M3", (64, 64), 0.1)]
    contents = []
    for seed in (1, 1, 2):
        safetensors.write(tmp_path / "file", tensors, seed)
        contents.append((tmp_path / "file").read_bytes())
    assert contents[0] == contents[1] != contents[2]
    values = read(tmp_path / "file")
    assert not np.array_equal(to_fp8(values["a"]), values["b"])


@pytest.mark.parametrize("path", MODELS, ids=str)
def test_a_matrix_keeps_the_size_of_what_goes_through_it(tiny: Path, path: Path) -> None:
    tensors, expected = read(tiny / path), weights.layout("tiny", SETS)[path]
    shapes = {tensor.name: tensor.shape for tensor in expected}
    checked = 0
    for name, values in tensors.items():
        if not name.endswith(".weight") or len(shapes[name]) < 2 or "embed_tokens" in name or "shared" in name:
            continue
        real = values.astype(np.float64)
        if values.dtype == np.uint8:
            real = np.array([from_fp8(code) for code in range(256)])[values]
            real *= tensors[name.removesuffix("weight") + "scale_weight"]
        assert real.std() == pytest.approx(np.prod(shapes[name][1:]) ** -0.5, rel=0.25), name
        assert np.isfinite(real).all()
        checked += 1
    assert checked > 5


def test_rows_of_a_matrix_differ(tmp_path: Path) -> None:
    safetensors.write(tmp_path / "file", [Tensor("a", "F16", (4096, 1024), 1)], 0)
    matrix = read(tmp_path / "file")["a"].reshape(4096, 1024)
    assert len({row.tobytes() for row in matrix}) == 4096


def test_fp8_is_the_nearest_value_and_at_most_the_largest() -> None:
    finite = [code for code in range(256) if code & 127 != 127]
    assert to_fp8(np.array([from_fp8(code) for code in finite])).tolist() == finite
    given = np.array([0.0, 1.0, -1.06, 1.07, 447.0, 1e9, -1e9])
    assert [from_fp8(code) for code in to_fp8(given)] == [0, 1, -1, 1.125, 448, 448, -448]


def test_a_large_tensor_is_written_in_little_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    size = safetensors.write(tmp_path / "file", [Tensor("a", "F8_E4M3", (100, BLOCK), 1)], 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 100e6
    assert peak < 60e6


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two tensors are named a"):
        safetensors.size([Tensor("a", "F16", (1,)), Tensor("a", "F16", (1,))])
