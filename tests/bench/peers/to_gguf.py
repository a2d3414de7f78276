"""to_gguf.py MODEL.gguf FOLDER: the same model as FOLDER/{f32,f16,bf16,q8_0}.gguf, written by llama.cpp's own converter."""
import ctypes
import os
import sys

import llama_cpp as ll


@ll.llama_log_callback
def silent(level, text, data):
    pass


def main():
    source, folder = sys.argv[1:]
    ll.llama_log_set(silent, ctypes.c_void_p(0))
    kinds = {"f32": ll.LLAMA_FTYPE_ALL_F32, "f16": ll.LLAMA_FTYPE_MOSTLY_F16, "bf16": ll.LLAMA_FTYPE_MOSTLY_BF16, "q8_0": ll.LLAMA_FTYPE_MOSTLY_Q8_0}
    for name, kind in kinds.items():
        p = ll.llama_model_quantize_default_params()
        p.ftype, p.allow_requantize = kind, True
        part, path = f"{folder}/{name}.part", f"{folder}/{name}.gguf"
        if ll.llama_model_quantize(source.encode(), part.encode(), ctypes.byref(p)) != 0:
            sys.exit(f"to_gguf.py: {source} could not be written as {name}")
        os.rename(part, path)


main()
