"""The rooms of docs/ARCHITECTURE.md: who may import whom, and who owns which outside thing."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Each room of worker/ may import the rooms to its left, and within its group those before it.
ORDER = [
    ["errors", "logs"],
    ["config"],
    ["models"],
    [
        "input_faults",
        "presets",
        "request",
        "fit",
        "stills",
        "node_rules",
        "workflow",
        "output_file",
        "image",
        "comfyui",
    ],
    ["video", "storage", "s3_config", "progress", "encoding", "outputs", "delivery", "startup"],
    ["job"],
    ["warmup", "schemas"],
]
PROGRAMS = {"handler.py", "test_runpod_local.py", "test_handler_directly.py", "verify_setup.py"}


def sources(*places: str) -> Iterator[tuple[Path, ast.Module]]:
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield file.relative_to(ROOT), ast.parse(file.read_text())


def imports(tree: ast.Module) -> set[str]:
    """Every module that the tree imports, `from a import b` as both a and a.b."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def importers(module: str, *places: str) -> set[str]:
    """The files that import `module` or something in it."""
    return {
        str(file)
        for file, tree in sources(*places)
        if any(name == module or name.startswith(f"{module}.") for name in imports(tree))
    }


def room(name: str) -> str:
    """The room of a module or file of worker/."""
    return name.removeprefix("worker").strip("./").replace("/", ".").split(".")[0]


def test_rooms_import_downwards_only():
    rank = {name: (level, place) for level, group in enumerate(ORDER) for place, name in enumerate(group)}
    upward = []
    for file, tree in sources("worker"):
        own = room(str(file))
        if own == "__init__":
            continue
        used = {room(name) for name in imports(tree) if name.startswith("worker.")} - {own}
        upward += [f"{file} imports {other}" for other in used if rank[other] >= rank[own]]
    assert upward == []


def test_the_stand_ins_know_nothing_of_the_worker_and_only_the_handler_knows_them():
    assert importers("worker", "local", "client") == set()
    assert importers("local", "worker", "client", *PROGRAMS & {path.name for path in ROOT.glob("*.py")}) == {
        "handler.py"
    }


def test_comfyuis_nodes_know_nothing_of_the_worker_and_nobody_knows_them():
    assert importers("worker", "comfyui_nodes") | importers("local", "comfyui_nodes") == set()
    assert importers("comfyui_nodes", "handler.py", "worker", "local", "client") == set()


def test_the_client_programs_need_nothing_of_the_worker():
    assert importers("worker", "client", "test_runpod_local.py") == set()
    assert importers("local", "client", "test_runpod_local.py") == set()


def test_the_sdk_is_met_in_the_handler_and_its_guard_where_callers_name_addresses():
    guarded = ("worker/image.py", "worker/s3_config.py")
    assert importers("runpod", "handler.py", "worker", "client") == {"handler.py", *guarded}
    used = {name for _, tree in sources(*guarded) for name in imports(tree) if name.startswith("runpod")}
    assert used == {"runpod.serverless.utils", "runpod.serverless.utils.rp_ssrf"}


@pytest.mark.parametrize(
    ("module", "owner"),
    [
        ("websocket", "worker/comfyui/"),
        ("urllib3", "worker/comfyui/"),
        ("boto3", "worker/storage.py"),
        ("botocore", "worker/storage.py"),
        ("av", "worker/video.py"),
    ],
)
def test_a_library_has_one_room(module, owner):
    assert importers(module, "worker")
    assert all(file.startswith(owner) for file in importers(module, "worker", "handler.py"))


def attributes(tree: ast.Module) -> set[str]:
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Attribute, ast.Name))}


def test_the_environment_is_read_and_written_in_config_only():
    files = {
        str(file) for file, tree in sources("handler.py", "worker") if attributes(tree) & {"os.environ", "os.getenv"}
    }
    assert files == {"worker/config.py"}


def test_only_programs_print():
    printing = {
        str(file)
        for file, tree in sources("worker", "handler.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
    }
    assert printing == set()


def test_only_the_handler_catches_every_exception():
    catching = {
        str(file)
        for file, tree in sources("handler.py", "worker")
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
        and not any(isinstance(child, ast.Raise) and child.exc is None for child in ast.walk(node))
    }
    assert catching == {"handler.py"}


def test_comfyuis_routes_are_written_in_its_room_only():
    routes = ("/history", "/prompt", "/queue", "/interrupt", "/upload/image", "/view", "/system_stats", "/object_info")
    files = {
        str(file)
        for file, tree in sources("worker", "handler.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(routes)
    }
    assert all(file.startswith("worker/comfyui/") for file in files)
    assert files


def test_files_and_functions_stay_small():
    too_long = []
    for file, tree in sources(
        "handler.py", "worker", "local", "client", "comfyui_nodes", *PROGRAMS & {p.name for p in ROOT.glob("*.py")}
    ):
        lines = len((ROOT / file).read_text().splitlines())
        too_long += [f"{file}: {lines} lines"] if lines > 300 else []
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                too_long += [f"{file}: {node.name}: {length} lines"] if length > 40 else []
    assert too_long == []


def test_the_page_stays_small_builds_no_markup_from_text_and_loads_nothing_from_elsewhere():
    files = sorted((ROOT / "local" / "page").iterdir())
    assert len(files) > 10
    for file in files:
        text = file.read_text()
        assert len(text.splitlines()) <= 300, file.name
        for way in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "localStorage"):
            assert way not in text, file.name
        loaded = re.findall(r"""(?:src|href|from|import|url)\s*[=(]?\s*["'](\w+:)?//""", text)
        assert loaded == [], file.name
