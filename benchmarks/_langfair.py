"""LangFair's association measures on texts that are split into tokens already; started by measures.py in its environment.

PYTHON _langfair.py INPUT.json: an object of `texts`, `groups` (two lists of words) and `words` (by name, lists of words).
"""

import importlib.util
import json
import sys
import time
from pathlib import Path
from types import ModuleType

import langfair
import nltk.tokenize


def load(name: str) -> ModuleType:
    """Load one file of LangFair: the package as a whole imports torch and transformers, which these measures do not use."""
    path = Path(langfair.__file__).parent / "metrics/stereotype/metrics" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"langfair_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.word_tokenize = (
        str.split
    )  # the data of NLTK's tokenizer is in no package: both get the same tokens
    return module


def main() -> None:
    given = json.loads(Path(sys.argv[1]).read_text())
    nltk.tokenize.word_tokenize = str.split
    associations = load("associations")
    groups = dict(zip(("male", "female"), given["groups"], strict=True))
    told = {}
    for name, words in given["words"].items():
        started = time.process_time()
        measure = associations.StereotypicalAssociations(
            demographic_group_word_lists=groups, stereotype_word_list=words
        )
        value = measure.evaluate(given["texts"], show_progress_bars=False)
        told[name] = {"value": float(value), "seconds": time.process_time() - started}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
