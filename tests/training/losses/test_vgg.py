"""The loss network against torchvision's own."""

import hashlib
from urllib.error import URLError

import pytest
import torch
import torchvision

from transformer_net.errors import SettingError
from transformer_net.training.losses.vgg import TAPS, WEIGHTS, Vgg16Features, vgg16_state_dict
from transformer_net.training.losses.weights.make_vgg16 import SHA256, pack

# Index of the last layer of each tap in torchvision's `vgg16().features`.
LAST = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22}


@pytest.fixture(scope="module")
def torchvision_vgg():
    """Torchvision's module with the shipped weights; the layers above conv4_3 are not used."""
    model = torchvision.models.vgg16(weights=None)
    missing, unexpected = model.load_state_dict(vgg16_state_dict("shipped"), strict=False)
    assert not unexpected
    assert all(name.startswith("classifier") or int(name.split(".")[1]) > 21 for name in missing)
    return model.eval()


@pytest.mark.slow
def test_taps_equal_torchvisions(torchvision_vgg):
    vgg = Vgg16Features(padding="zeros")
    image = torch.rand(2, 3, 48, 56)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.no_grad():
        found = vgg(image)
        for tap, features in zip(TAPS, found, strict=True):
            expected = torchvision_vgg.features[: LAST[tap] + 1]((image - mean) / std)
            torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)


def test_a_flat_picture_has_no_edge(vgg):
    """With zero padding its features change towards the border, and paintings learn a grey frame."""
    flat = torch.full((1, 3, 48, 48), 0.9)
    for features in vgg(flat):
        torch.testing.assert_close(features, features[..., :1, :1].expand_as(features), rtol=1e-3, atol=1e-3)
    edge = Vgg16Features(padding="zeros")(flat)[0]
    assert (edge - edge[..., 24:25, 24:25]).abs().max() > 0.1


def test_fewer_taps_are_the_first_ones(vgg):
    image = torch.rand(1, 3, 32, 32)
    two, four = vgg(image, taps=2), vgg(image)
    assert [f.shape for f in two] == [(1, 64, 32, 32), (1, 128, 16, 16)]
    assert all(torch.equal(a, b) for a, b in zip(two, four, strict=False))


def test_the_loss_network_does_not_learn(vgg):
    assert not any(p.requires_grad for p in vgg.parameters())


def test_first_filter_is_torchvisions():
    """The first numbers of torchvision's IMAGENET1K_V1 weights, rounded to float16."""
    weights = vgg16_state_dict("shipped")
    row = weights["features.0.weight"][0, 0, 0]
    torch.testing.assert_close(row, torch.tensor([-0.5537, 0.1427, 0.5290]), rtol=0, atol=5e-4)
    bias = weights["features.0.bias"][:4]
    torch.testing.assert_close(bias, torch.tensor([0.4034, 0.3778, 0.4644, -0.3228]), rtol=0, atol=5e-4)


def test_shipped_file_has_the_documented_checksum():
    checksum = hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    assert checksum == SHA256
    assert checksum in (WEIGHTS.parent / "README.md").read_text()


def test_packing_the_same_weights_gives_the_same_file(torchvision_vgg):
    """What make_vgg16 would do with torchvision's download."""
    state = {**torchvision_vgg.state_dict()}
    assert pack(state) == WEIGHTS.read_bytes()


def test_torchvision_source_uses_the_weights_enum(monkeypatch, torchvision_vgg):
    enum = torchvision.models.VGG16_Weights
    monkeypatch.setattr(enum, "get_state_dict", lambda self, **options: torchvision_vgg.state_dict())
    image = torch.rand(1, 3, 32, 32)
    ours, theirs = Vgg16Features("shipped")(image)[-1], Vgg16Features("torchvision")(image)[-1]
    assert torch.equal(ours, theirs)


def test_a_download_that_fails_is_one_sentence(monkeypatch):
    def fail(self, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.models.VGG16_Weights, "get_state_dict", fail)
    with pytest.raises(SettingError, match=r"no route to host.*--vgg shipped needs no download"):
        Vgg16Features("torchvision")
