"""Croissant 1.1 metadata with its RAI vocabulary, of a bundle's records."""

from __future__ import annotations

import json
import re
from typing import Any

from trimtab.governance.exports.source import Source

CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "prov": "http://www.w3.org/ns/prov#", "examples": {"@id": "cr:examples", "@type": "@json"},
    "equivalentProperty": "cr:equivalentProperty", "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path",
    "recordSet": "cr:recordSet", "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated",
    "replace": "cr:replace", "samplingRate": "cr:samplingRate", "sc": "https://schema.org/", "separator": "cr:separator",
    "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
COLUMNS = ("id", "lineage_id", "kind", "mechanism", "cell", "source")
TO_FILL_IN = "To be filled in by a person"


def croissant(source: Source) -> str:
    """Return `croissant.json`; what only a person knows says so."""
    about, sources = source.about, source.sources
    value = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": f"trimtab-{about['config']['name']}",
        "description": "Synthetic training records of a trimtab run, with lineage.",
        "citeAs": TO_FILL_IN,
        "version": "1.0.0",
        "datePublished": about["started"][:10],
        "license": TO_FILL_IN,
        "creator": {"@type": "sc:Organization", "name": TO_FILL_IN},
        "rai:dataCollection": "; ".join(f"{n} {k}" for k, n in sorted(sources.items())) + " records",
        "rai:dataCollectionType": "Synthetic generation",
        "rai:dataLimitations": "Traits that pass through data that looks innocent cannot be seen by content checks.",
        "rai:dataUseCases": TO_FILL_IN,
        "rai:personalSensitiveInformation": TO_FILL_IN,
        "prov:wasGeneratedBy": [
            {"@type": "prov:Activity", "prov:label": f"trimtab {about['version']}, seed {about['config']['seed']}"}
        ],
        "prov:wasDerivedFrom": [_generator(g) for g in sorted(source.generators) if g != "none"],
        "distribution": [_file(source, name) for name in source.rows],
        "recordSet": [_records(name) for name in source.rows],
    }  # fmt: skip
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _generator(name: str) -> dict[str, Any]:
    # An `@id` holds no spaces, and what wrote the seeds has a name and no digest.
    known = re.fullmatch(r"[0-9a-f]{64}", name)
    return {"@id": f"urn:sha256:{name}"} if known else {"@type": "prov:Entity", "prov:label": name}


def _file(source: Source, name: str) -> dict[str, Any]:
    path = f"records/{name}.jsonl"
    return {
        "@type": "cr:FileObject", "@id": path, "name": name, "contentUrl": path, "sha256": source.digest(name),
        "encodingFormat": "application/jsonlines", "contentSize": f"{(source.folder / path).stat().st_size} B",
    }  # fmt: skip


def _records(name: str) -> dict[str, Any]:
    fields = [
        {
            "@type": "cr:Field", "@id": f"{name}/{column}", "name": column, "dataType": "sc:Text",
            "source": {"fileObject": {"@id": f"records/{name}.jsonl"}, "extract": {"column": column}},
        }
        for column in COLUMNS
    ]  # fmt: skip
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "key": {"@id": f"{name}/id"}, "field": fields}
