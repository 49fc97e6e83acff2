"""Which node classes a caller's workflow may use."""

import pytest

from worker import config
from worker.errors import WorkflowRejected
from worker.graph import adapt

HARMLESS = (
    "LoadImage",
    "ImageScale",
    "KSampler",
    "VAEDecode",
    "UNETLoader",
    "SaveImage",
    "SaveVideo",
    "VHS_VideoCombine",
)


def graph(class_type: str) -> dict[str, object]:
    return {"7": {"class_type": class_type, "inputs": {}, "_meta": {"title": "Mine"}}}


def adapted(class_type: str, **environ: str) -> None:
    settings = config.read(environ)
    adapt(
        graph(class_type),
        uploads={},
        image_name=None,
        prefix="job",
        allow=settings.nodes_allow,
        deny=settings.nodes_deny,
    )


@pytest.mark.parametrize(
    "class_type",
    [
        "LoadImageDataSetFromFolder",
        "LoadTrainingDataset",
        "SaveImageTextDataSetToFolder",
        "Load3D",
        "VHS_LoadVideoPath",
        "VHS_LoadImagesPath",
        "LoadImagesFromFolderKJ",
        "LoadImagesFromDir //Inspire",
        "Load Image From Url (mtb)",
        "LoadText|pysssss",
        "SaveText|pysssss",
        "ExecutePython",
        "PythonScript",
    ],
)
def test_nodes_that_run_code_or_leave_comfyuis_folders_are_refused_by_default(class_type):
    with pytest.raises(WorkflowRejected) as caught:
        adapted(class_type)
    message = caught.value.message
    assert all(word in message for word in ("node 7", "Mine", class_type, "WORKFLOW_NODES_DENY"))


@pytest.mark.parametrize("class_type", HARMLESS)
def test_ordinary_nodes_are_not(class_type):
    adapted(class_type)


def test_an_allow_list_refuses_all_else_and_the_deny_list_still_holds():
    allow = {"WORKFLOW_NODES_ALLOW": "Load*, SaveImage"}
    adapted("LoadImage", **allow)
    for class_type in ("KSampler", "Load3D"):
        with pytest.raises(WorkflowRejected, match="WORKFLOW_NODES_"):
            adapted(class_type, **allow)


def test_a_deny_list_of_ones_own_takes_the_default_ones_place():
    adapted("Load3D", WORKFLOW_NODES_DENY="KSampler")
    with pytest.raises(WorkflowRejected, match="matches KSampler of WORKFLOW_NODES_DENY"):
        adapted("KSampler", WORKFLOW_NODES_DENY="KSampler")
