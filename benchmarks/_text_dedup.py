"""text-dedup's MinHash as its command runs it; started by screening.py in text-dedup's environment.

PYTHON _text_dedup.py DATA.jsonl FOLDER WORKERS
"""

import sys

from text_dedup.minhash import main

if __name__ == "__main__":
    data, folder, workers = sys.argv[1:4]
    options = {
        "path": "json", "data_files": data, "split": "train", "cache_dir": f"{folder}/cache", "output": f"{folder}/kept",
        "num_proc": workers, "column": "text", "batch_size": "10000", "ngram": "3", "min_length": "5",
        "num_perm": "112", "b": "14", "r": "8",
    }  # fmt: skip
    main([part for name, value in options.items() for part in (f"--{name}", value)])
