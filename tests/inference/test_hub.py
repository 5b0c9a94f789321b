"""Models in the form of the Hugging Face Hub, in a folder: nothing here needs a network."""

import pytest
import torch
from safetensors.torch import load_file

from styles.catalog import find_style
from transformer_net.checkpoint import load_model, read_info
from transformer_net.errors import ModelFileError
from transformer_net.inference.hub import HubModel
from transformer_net.norms import NORMS


@pytest.mark.parametrize("norm", NORMS)
def test_there_and_back(norm, tmp_path):
    path = find_style("wave").model(norm)
    HubModel(*load_model(path)).save_pretrained(tmp_path / "model")
    assert {file.name for file in (tmp_path / "model").iterdir()} == {"model.safetensors", "README.md"}
    written, shipped = load_file(tmp_path / "model" / "model.safetensors"), load_file(path)
    assert written.keys() == shipped.keys()
    assert all(torch.equal(written[name], shipped[name]) for name in shipped)
    model = HubModel.from_pretrained(str(tmp_path / "model"))
    assert model.info == read_info(path)
    assert not model.training
    photo = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model(photo), HubModel(*load_model(path))(photo))


def test_the_card_says_what_the_file_does(tmp_path):
    network, info = load_model(find_style("wave").model("iebn"))
    HubModel(network, info).save_pretrained(tmp_path, model_card_kwargs={"license": "cc0-1.0"})
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\n")
    for said in ("license: cc0-1.0", "library_name: stylizer", "pipeline_tag: image-to-image"):
        assert said in card.split("---")[1]
    steps = info.training["config"]["iterations"]
    for said in ("# wave,", "426,499", info.training["content"]["name"], f"| iterations | {steps} |"):
        assert said in card
    assert f"| content | {info.training['validation']['content']:.4g} |" in card


def test_an_unusable_folder(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read"):
        HubModel.from_pretrained(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="damaged or not a safetensors"):
        HubModel.from_pretrained(str(tmp_path))
