"""The worker's own ComfyUI nodes: this folder, under any name, belongs into ComfyUI's custom_nodes/.

The worker does without them where ComfyUI does not have them.
"""

from . import garbage
from .attention import SetAttention
from .prompt_thread import end_with_prompt_thread
from .save_frames import SaveFrames

end_with_prompt_thread()

NODE_CLASS_MAPPINGS = {"SaveFrames": SaveFrames, "SetAttention": SetAttention}
NODE_DISPLAY_NAME_MAPPINGS = {"SaveFrames": "Save frames", "SetAttention": "Set attention"}

garbage.settle()

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
