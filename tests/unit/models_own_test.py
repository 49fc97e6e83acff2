"""The owner's own model files and sets, and the command that adds one."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker import catalogue, config
from worker.errors import ConfigError
from worker.models import __main__ as program
from worker.models import own

STYLE = {"name": "style.safetensors", "folder": "loras", "url": "https://example.com/style.safetensors"}
PAINTER = {"name": "xl/painter.safetensors", "folder": "checkpoints", "url": "https://example.com/painter"}
DEFAULT = {model.name for model in catalogue.load(["default"], {})}
VAE = "hunyuanvideo15_vae_fp16.safetensors"


def write(volume: Path, *files: dict[str, str], sets: dict[str, list[str]] | None = None) -> None:
    lines = [line for file in files for line in ["[[file]]", *(f"{name} = {json.dumps(file[name])}" for name in file)]]
    lines += ["[sets]", *(f"{name} = {json.dumps(names)}" for name, names in (sets or {}).items())]
    (volume / "models.toml").write_text("\n".join(lines))


def chosen(volume: Path, **environ: str) -> set[str]:
    return {model.name for model in own.chosen(config.read_models({"VOLUME_DIR": str(volume), **environ}))}


@pytest.mark.parametrize(
    ("sets", "names"),
    [
        ("default", DEFAULT | {STYLE["name"]}),
        ("none", {STYLE["name"]}),
        ("NONE", {STYLE["name"]}),
        ("pictures", {STYLE["name"], PAINTER["name"], VAE}),
        ("Default,pictures", DEFAULT | {STYLE["name"], PAINTER["name"]}),
    ],
)
def test_a_file_comes_with_its_sets_and_always_where_it_is_in_none(tmp_path: Path, sets: str, names: set[str]) -> None:
    write(tmp_path, STYLE, PAINTER, sets={"pictures": [PAINTER["name"], VAE]})
    assert chosen(tmp_path, MODEL_SETS=sets) == names


def test_without_a_models_toml_there_are_the_workers_files_or_none(tmp_path: Path) -> None:
    assert chosen(tmp_path) == DEFAULT
    assert chosen(tmp_path, MODEL_SETS="none") == set()


def test_a_set_that_nobody_has_made_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    write(tmp_path, STYLE, sets={"mine": [STYLE["name"]]})
    with pytest.raises(
        ConfigError, match=r"MODEL_SETS='default,me' .* none, default, fast, upscale, upscale_720p, smooth, mine"
    ):
        chosen(tmp_path, MODEL_SETS="default,me")


@pytest.mark.parametrize(
    ("files", "sets", "fault"),
    [
        ([{**STYLE, "folder": "../../etc"}], {}, "file 1: folder: must be a path below a models folder"),
        ([STYLE, {**PAINTER, "name": "/etc/passwd"}], {}, "file 2: name: must be a path below"),
        ([{**STYLE, "name": "a/./b"}], {}, "file 1: name: must be a path below"),
        ([{**STYLE, "name": "a//b"}], {}, "file 1: name: must be a path below"),
        ([{**STYLE, "url": "ftp://example.com/a"}], {}, "file 1: url: must be an http:// or https:// URL"),
        ([{**STYLE, "sha256": "abc"}], {}, "file 1: sha256: must be 64 hex"),
        ([{**STYLE, "hash": "abc"}], {}, "file 1: hash: Extra inputs"),
        ([{"name": "a.pth", "folder": "loras"}], {}, "file 1: url: Field required"),
        ([STYLE, STYLE], {}, f"two files are named {STYLE['name']}"),
        ([{**STYLE, "name": VAE}], {}, f"two files are named {VAE}: replace the worker's URL by a setting"),
        ([STYLE], {"fast": [STYLE["name"]]}, "the set fast is the worker's"),
        ([STYLE], {"mine": ["other.pth"]}, "the set mine names other.pth, which no"),
    ],
)
def test_what_is_wrong_in_models_toml_is_named_with_its_place(
    tmp_path: Path, files: list[dict[str, str]], sets: dict[str, Any], fault: str
) -> None:
    write(tmp_path, *files, sets=sets)
    with pytest.raises(ConfigError, match=fault) as caught:
        chosen(tmp_path)
    assert str(tmp_path / "models.toml") in caught.value.message


def test_a_models_toml_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MODELS_FILE=.*: there is no such file"):
        chosen(tmp_path, MODELS_FILE=str(tmp_path / "own.toml"))


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("VOLUME_DIR", str(tmp_path))
    return lambda *arguments: program.main(["add", *arguments])


def test_added_files_are_brought_beside_what_is_listed_by_hand(tmp_path: Path, add: Any) -> None:
    write(tmp_path, STYLE, sets={"mine": [STYLE["name"]]})
    assert add("https://huggingface.co/org/repo/resolve/main/a%20b.safetensors?download=true", "checkpoints") == 0
    odd = ['odd "name".safetensors', "gr\u00fcn \U0001f600.safetensors"]
    for name in odd:
        assert add("https://example.com/models/12345", "loras/new", "--name", name) == 0
    assert chosen(tmp_path, MODEL_SETS="none") == {"a b.safetensors", *odd}


def test_what_cannot_be_added_leaves_the_list_as_it_was(tmp_path: Path, add: Any) -> None:
    write(tmp_path, STYLE)
    before = (tmp_path / "models.toml").read_bytes()
    assert add(STYLE["url"], "loras") == 1
    assert add("https://example.com/models/12345", "loras") == 1
    assert add("https://example.com/a.safetensors", "../loras") == 1
    assert (tmp_path / "models.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("example.com/a.safetensors", "loras"), "url: must be an http:// or https:// URL"),
        (("https://example.com/a.safetensors", "lora"), "did you mean loras?"),
        (("https://example.com/a.safetensors", "Checkpoint/xl"), "did you mean checkpoints?"),
        (("https://example.com/a.safetensors", "models/loras"), "below models/ already: loras"),
        (("https://example.com/a.safetensors", "/runpod-volume/models/loras"), "folder: must be a path below"),
        (("https://huggingface.co/org/repo-1.0", "loras"), "/resolve/main/"),
        (("https://huggingface.co/org/repo/tree/main/a", "loras"), "/resolve/main/"),
        (("https://civitai.com/models/12345/some-style", "loras"), "/api/download/models/"),
        (("https://civitai.com/api/download/models/12345?token=s3cret", "loras"), "give it with --name"),
    ],
)
def test_what_a_newcomer_gets_wrong_is_told_with_what_to_do(
    add: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path, arguments: tuple[str, str], told: str
) -> None:
    assert add(*arguments) == 1
    text = "".join(capfd.readouterr())
    assert told in text
    assert "s3cret" not in text
    assert not (tmp_path / "models.toml").exists()


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("https://huggingface.co/org/repo/blob/main/a.safetensors", "unet"),
        ("https://example.com/a.safetensors", "ipadapter"),
        ("https://civitai.com/api/download/models/1?token=s3cret", "loras/new"),
    ],
)
def test_what_a_newcomer_may_write_is_taken(
    add: Any, capfd: pytest.CaptureFixture[str], tmp_path: Path, url: str, folder: str
) -> None:
    assert add(url, folder, "--name", "a.safetensors") == 0
    assert chosen(tmp_path, MODEL_SETS="none") == {"a.safetensors"}
    text = "".join(capfd.readouterr())
    assert ("has a token" in text) == ("token" in url)
    assert "s3cret" not in text


@pytest.mark.parametrize("command", ["check", "bring", "warm", "list"])
def test_each_command_tells_its_state_and_exits_as_it_ended(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOLUME_DIR", str(tmp_path))
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "target"))
    monkeypatch.setenv("MODEL_SETS", "none")
    state = tmp_path / "state"
    assert (program.main([command, "--state", str(state)]), state.read_text()) == (0, "ready\n")
    write(tmp_path, {**STYLE, "url": f"{STYLE['url']}?token=s3cret"})
    assert program.main([command]) == (1 if command in {"check", "bring"} else 0)
    listed = "loras/style.safetensors from https://example.com/style.safetensors\n"
    output = capfd.readouterr().out
    assert (listed in output) == (command == "list")
    assert "s3cret" not in output
    (tmp_path / "models.toml").write_text("[[file]")
    assert program.main([command, "--state", str(state)]) == 1
    assert state.read_text().startswith(f"{tmp_path / 'models.toml'} cannot be read: ")
    assert state.read_text().count("\n") == 1


def test_a_file_is_added_with_all_that_was_given(tmp_path: Path, add: Any) -> None:
    assert add("https://example.com/d/a%20b.pth?x=1#y", "loras", "--sha256", "AB" * 32) == 0
    assert own.read(config.read_models({"VOLUME_DIR": str(tmp_path)})).file == (
        own.OwnFile(name="a b.pth", folder="loras", url="https://example.com/d/a%20b.pth?x=1#y", sha256="AB" * 32),
    )
    with pytest.raises(SystemExit):
        add("https://example.com/a.pth")


def test_the_programs_help_shows_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        program.main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("usage: python -m worker.models [")
