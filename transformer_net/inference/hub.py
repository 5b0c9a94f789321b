"""Models on the Hugging Face Hub, or in a folder as it would lie there: our one model file and a model card.

    HubModel(*load_model(path)).save_pretrained("my-wave")
    HubModel.from_pretrained("my-wave")

Imported by nobody else in this package: huggingface_hub takes a while.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, ModelCardData, PyTorchModelHubMixin, hf_hub_download

from transformer_net.checkpoint import ModelInfo, load_model, save_model
from transformer_net.inference.painting_module import PaintingModule
from transformer_net.network import TransformerNet, parameter_count
from transformer_net.norms import NORM_TITLES

FILE = "model.safetensors"


class HubModel(PaintingModule, PyTorchModelHubMixin):
    """Photos in, paintings out, as `PaintingModule`; and save_pretrained, from_pretrained, push_to_hub.

    There is no config.json: the model file describes itself.

    Args:
        network: What paints.
        info: What its model file says of it.
    """

    def __init__(self, network: TransformerNet, info: ModelInfo) -> None:
        super().__init__(network, info.grain)
        self.info = info
        self._hub_mixin_config = None  # or it would write what it makes of `info` beside the model file

    def _save_pretrained(self, save_directory: Path) -> None:
        info = self.info
        save_model(save_directory / FILE, self.network, info.style, info.grain, info.training)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        strict: bool = True,
        **unknown: Any,
    ) -> Self:
        """The model in a folder or a repository; raises as `load_model`, which is always strict."""
        if unknown:
            raise TypeError(f"from_pretrained has no argument {next(iter(unknown))!r}")
        path = Path(model_id, FILE)
        if not Path(model_id).is_dir():
            path = Path(
                hf_hub_download(
                    model_id, FILE, revision=revision, cache_dir=cache_dir, force_download=force_download,
                    local_files_only=local_files_only, token=token,
                )
            )  # fmt: skip
        return cls(*load_model(path)).to(torch.device(map_location)).eval()

    def generate_model_card(self, *args: Any, license: str | None = None, **kwargs: Any) -> ModelCard:
        """README.md of the folder: what the model file says of its training, for people.

        Args:
            license: Identifier of the weights' licence, such as cc0-1.0; pass it as
                `save_pretrained(..., model_card_kwargs={"license": ...})`.
        """
        data = ModelCardData(
            license=license,
            library_name="stylizer",
            pipeline_tag="image-to-image",
            tags=["style-transfer", "pytorch_model_hub_mixin", "model_hub_mixin"],
        )
        return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{self._card()}")

    def _card(self) -> str:
        info, training = self.info, self.info.training
        facts = {
            "normalizer": NORM_TITLES[info.norm],
            "width": info.width,
            "parameters": f"{parameter_count(self.network):,}",
            "grain": info.grain,
            "iterations": training.get("iterations_done"),
            "content photos": training.get("content", {}).get("name"),
            "machine": training.get("machine"),
            "PyTorch": training.get("torch"),
        }
        tables = [_table("", {name: fact for name, fact in facts.items() if fact is not None})]
        for title, key in (("Validation losses", "validation"), ("Training settings", "config")):
            if training.get(key):
                tables.append(_table(f"## {title}\n\n", training[key]))
        body = "\n".join(tables)
        return f"""# {info.style}, {NORM_TITLES[info.norm]}

Paints photos in the style `{info.style}`: Johnson's transformation network, in one pass.

```python
from transformer_net.inference.hub import HubModel

model = HubModel.from_pretrained("this folder or repository")
paintings = model(photos)  # both (B, 3, H, W), RGB in [0, 1], H and W at least 20
```

{body}"""


def _table(title: str, rows: dict[str, Any]) -> str:
    lines = [f"| {name} | {f'{v:.4g}' if isinstance(v, float) else v} |" for name, v in rows.items()]
    return "\n".join([f"{title}| | |", "|---|---|", *lines, ""])
