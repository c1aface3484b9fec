"""Models by name, downloaded from Hugging Face once and then read from its cache without a network.

huggingface-hub downloads them, with progress, resumption, and a cache shared with transformers. The name of a weight
file in the cache is the SHA-256 from the server; the file is checked against it before it is read.
"""

from __future__ import annotations

import re
from pathlib import Path

from scratchlm.base.errors import UserError, nearest
from scratchlm.base.files import sha256_of

NAMED = {
    "gpt2": "openai-community/gpt2",  # MIT
    "smollm2-135m": "HuggingFaceTB/SmolLM2-135M",  # Apache-2.0
    "smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",  # Apache-2.0
    "smollm2-360m": "HuggingFaceTB/SmolLM2-360M",  # Apache-2.0
    "smollm2-360m-instruct": "HuggingFaceTB/SmolLM2-360M-Instruct",  # Apache-2.0
    "qwen3-0.6b": "Qwen/Qwen3-0.6B",  # Apache-2.0
    "qwen2.5-0.5b": "Qwen/Qwen2.5-0.5B",  # Apache-2.0
    "tinyllama-1.1b-chat": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",  # Apache-2.0
    "olmo2-1b": "allenai/OLMo-2-0425-1B",  # Apache-2.0
}
"""Repositories of models with a short name here, and their licences."""

FILES = (
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
_REPOSITORY = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch(name: str) -> Path:
    """Return the folder of a named model or of a repository `owner/name`, downloaded unless it is in the cache.

    Raises `UserError` for an unknown name, a repository without access, a missing network, and a file with another
    hash than the server's.
    """
    repository = NAMED.get(name, name)
    if not _REPOSITORY.fullmatch(repository):
        raise UserError(
            f"{name}: no such file or folder, and no model by that name ({nearest(name, NAMED)}); name a path, one of "
            "these, or a Hugging Face repository as owner/name"
        )
    folder = _download(repository)
    for path in sorted(folder.iterdir()):
        stated = path.resolve().name
        if _SHA256.fullmatch(stated) and sha256_of(path) != stated:
            raise UserError(f"{path}: is not the server's file (its SHA-256 differs); delete it and import again")
    return folder


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=list(FILES)))
    except GatedRepoError as error:
        raise UserError(
            f"{repository}: its owners ask for consent; give it on the model's page, then run: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(f"{repository}: no such model on Hugging Face; check the spelling") from error
    except HFValidationError as error:
        raise UserError(f"{repository}: is no valid name on Hugging Face ({error}); check the spelling") from error
    except Exception as error:  # the HTTP client of the hub, and so its errors, differ between versions
        raise UserError(
            f"{repository}: cannot be fetched ({type(error).__name__}) and is not in the cache whole; connect to the "
            "network, or name a folder or file that holds the model"
        ) from error
