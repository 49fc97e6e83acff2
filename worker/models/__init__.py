"""The model files: found on the network volume or downloaded, checked, and put where ComfyUI looks.

integrity   is this file whole, and the model it says it is
own         which files: those of MODEL_SETS, and the owner's own
volume      where people keep the files on a network volume
transfer    parallel copies and reads
lease       one worker at a time downloads a file to a shared volume
download    from the Hugging Face hub, or from any URL
source      a whole file for each model: the volume's, else a download
paths       the volume's models folders, as ComfyUI reads them
bring       all of it, in order
"""
