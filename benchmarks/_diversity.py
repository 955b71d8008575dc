"""The measures of `diversity`; started by measures.py in its environment.

PYTHON _diversity.py INPUT.json: a list of texts.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path

MEASURES = {
    "compression": ("compression", "compression_ratio", {}),
    "distinct": ("ngram_diversity", "ngram_diversity_score", {"num_n": 2}),
    "repetition": ("self_repetition", "self_repetition_score", {"verbose": False}),
}


def main() -> None:
    texts, told = json.loads(Path(sys.argv[1]).read_text()), {}
    folder = Path(importlib.util.find_spec("diversity").submodule_search_locations[0])
    for name, (file, function, options) in MEASURES.items():
        # One file each: the package as a whole imports torch and an endpoint's client.
        spec = importlib.util.spec_from_file_location(file, folder / f"{file}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        started = time.process_time()
        value = getattr(module, function)(texts, **options)
        told[name] = {"value": float(value), "seconds": time.process_time() - started}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
