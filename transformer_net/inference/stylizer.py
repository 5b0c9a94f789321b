"""A photo becomes a painting: the one call behind the command line, the HTTP API and the web page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from styles.blend import (
    blend_palette,
    example_photos,
    is_picture,
    load_blend,
    open_style_picture,
    parse_blend,
)
from styles.catalog import find_style
from transformer_net.checkpoint import ModelInfo, load_model, network_sha256
from transformer_net.devices import device_errors, release_memory, torch_device
from transformer_net.errors import DeviceMemoryError, SettingError
from transformer_net.imaging.arrays import extended, fit, from_array
from transformer_net.imaging.decode import DEFAULT_LIMITS, Limits, Photo, Source, decode
from transformer_net.inference.engines.base import Engine
from transformer_net.inference.engines.factory import LEAST_HALF, least_psnr, make_engine
from transformer_net.inference.engines.quantization import Ranges, calibrate, load_ranges
from transformer_net.inference.engines.torch_engine import TorchEngine
from transformer_net.inference.options.palette import Palette
from transformer_net.inference.options.strokes import enlarge
from transformer_net.inference.options.style_options import DEFAULT_OPTIONS, StyleOptions
from transformer_net.inference.tiling.tiles import (
    DEFAULT_MEMORY,
    ProgressCallback,
    Tiling,
    fits_whole,
    grained,
    scarce_memory,
)
from transformer_net.network import MIN_SIDE, TransformerNet
from transformer_net.prediction.style_picture import StylePicture


class Stylizer:
    """One trained network, ready to paint. Safe to share between threads.

    Args:
        network: In evaluation mode.
        info: What its model file says of it.
        device: Where to compute: a device of PyTorch's, or `openvino:GPU` or the like.
        limits: What `paint` accepts.
        engine: What computes; PyTorch in float32 where None.
        palette: Gives the colours of the style picture, when `StyleOptions.match_palette` first asks for
            them; None where the picture is not known.
    """

    def __init__(
        self,
        network: TransformerNet,
        info: ModelInfo,
        device: str | torch.device = "cpu",
        limits: Limits = DEFAULT_LIMITS,
        engine: Engine | None = None,
        palette: Callable[[], Palette] | None = None,
    ) -> None:
        self.device = torch_device(device)
        self.network = network.eval().to(self.device).to(memory_format=torch.channels_last)
        self.info, self.limits = info, limits
        self.engine = engine or TorchEngine(self.network, self.device)
        self._palette = palette

    @classmethod
    def from_style(
        cls,
        style: str,
        norm: str,
        device: str | torch.device = "cpu",
        engine: str = "auto",
        precision: str = "fp32",
        threads: int | None = None,
    ) -> Stylizer:
        """The shipped model of a style of the catalogue, a predicted one of a picture, or a blend of styles.

        Args:
            style: A name, the path of a picture, or several with shares: `wave:0.6,my.jpg:0.4`.
            norm: Normalizer, any spelling that `canonical_norm` takes.
            device: As in `from_file`, and so are the others.
            engine: What computes; `auto` is PyTorch for a blend, since converting it takes longer than a few
                paintings.
            precision: In which number format; blends cannot be painted in int8.
            threads: With how many threads on a CPU.

        Raises:
            UnknownStyleError, UnknownNormError: The catalogue has no such model.
            ModelFileError: Its file is unusable.
            SettingError: As in `from_file`; or the styles cannot be blended.
        """
        shares = parse_blend(style)
        if len(shares) == 1 and is_picture(only := next(iter(shares))):
            found = open_style_picture(Path(only))
            return cls.from_picture(found, norm, device, engine, precision, threads)
        wanted, ranges = precision.strip().lower(), None
        if len(shares) > 1:
            if wanted == "int8":
                raise SettingError(
                    "A blend of styles cannot be painted in int8: only models by themselves can."
                )
            if engine.strip().lower() == "auto" and wanted != "bf16":
                engine = "torch"
        elif wanted == "int8":
            ranges = load_ranges(find_style(next(iter(shares))).model(norm))
        network, info = load_blend(shares, norm)
        made = _engine(network, info, device, engine, precision, threads, ranges)
        return cls(network, info, device, engine=made, palette=lambda: blend_palette(shares))

    @classmethod
    def from_file(
        cls,
        path: Path | str,
        device: str | torch.device = "cpu",
        engine: str = "auto",
        precision: str = "fp32",
        threads: int | None = None,
    ) -> Stylizer:
        """The model in a file.

        Args:
            path: Its file.
            device: Where to compute, as `make_engine` takes it.
            engine: What computes; see `make_engine` and, for pictures in tiles, `Engine.piecewise`.
            precision: In which number format.
            threads: With how many threads on a CPU; None for as many as this process may use.

        Raises:
            ModelFileError: The file is unusable; the sentence says why.
            SettingError: The engine is not installed, or cannot do this; or the model loses too much in fp16.
        """
        network, info = load_model(path)
        ranges = load_ranges(Path(path)) if precision.strip().lower() == "int8" else None
        made = _engine(network, info, device, engine, precision, threads, ranges)
        return cls(network, info, device, engine=made)

    @classmethod
    def from_picture(
        cls,
        picture: StylePicture | Source,
        norm: str,
        device: str | torch.device = "cpu",
        engine: str = "auto",
        precision: str = "fp32",
        threads: int | None = None,
    ) -> Stylizer:
        """A predicted model: paints in the style of a picture that nobody has trained on.

        Args:
            picture: The style picture. For several normalizers, a `StylePicture` is looked at only once.
            norm: Normalizer, any spelling that `canonical_norm` takes.
            device: As in `from_file`, and so are the others.
            engine: What computes.
            precision: In which number format; what int8 needs to know is measured on the example photos.
            threads: With how many threads on a CPU.

        Raises:
            StylizerError: The picture cannot be read, or cannot be a style.
            UnknownNormError: There is no such normalizer.
            SettingError: As in `from_file`; or there is no predictor.
            ModelFileError: The predictor's file is unusable.
        """
        if not isinstance(picture, StylePicture):
            name = Path(picture).stem.lower() if isinstance(picture, (str, Path)) else "picture"
            picture = StylePicture(decode(picture).rgb, name)
        network, info = picture.model(norm)
        ranges = None
        if precision.strip().lower() == "int8":
            ranges = calibrate(network, example_photos(info.grain).numpy())
        made = _engine(network, info, device, engine, precision, threads, ranges)
        return cls(network, info, device, engine=made, palette=lambda: Palette.of(picture.image))

    def fingerprint(self, options: StyleOptions = DEFAULT_OPTIONS) -> str:
        """What a painting with these options depends on besides them and the photo.

        That is the network, its grain, the engine's number format and ranges, and, where its palette is
        matched, the style picture. The code is not among it; see `ledger.PIPELINE_VERSION`.
        """
        parts = [network_sha256(self.network), str(self.info.grain), self.engine.fingerprint]
        if options.match_palette and self._palette:
            parts.append(self._palette().fingerprint)
        return " ".join(parts)

    def check(self, options: StyleOptions) -> None:
        """Raises SettingError if this model cannot paint with these options."""
        if options.match_palette and self._palette is None:
            raise SettingError(
                "A palette can be matched with a style of the catalogue or a picture only: "
                "a model file comes without its style picture."
            )

    def paint(
        self,
        source: Source,
        max_side: int | None = None,
        options: StyleOptions = DEFAULT_OPTIONS,
        *,
        max_memory: int = DEFAULT_MEMORY,
        exact: bool = False,
    ) -> Image.Image:
        """Decode `source` and paint it; see `paint_photo`.

        Args:
            source: Bytes or path of an image file, a PIL image, or an array (H, W[, C]).
            max_side: Shrink the photo first so that its longer side has at most this many pixels.
            options: As in `paint_photo`.
            max_memory: As in `paint_photo`.
            exact: As in `paint_photo`.

        Raises:
            StylizerError: `source` is not a readable picture, or is too large or too small.
        """
        photo = decode(source, self.limits, max_side)
        return self.paint_photo(photo, max_side, options, max_memory=max_memory, exact=exact, overwrite=True)

    def paint_photo(
        self,
        photo: Photo,
        max_side: int | None = None,
        options: StyleOptions = DEFAULT_OPTIONS,
        *,
        max_memory: int = DEFAULT_MEMORY,
        exact: bool = False,
        overwrite: bool = False,
        on_progress: ProgressCallback = lambda share: None,
    ) -> Image.Image:
        """The painting of `photo`, of the photo's size (after shrinking to `max_side`).

        Mode RGB, or RGBA with the photo's transparency where it has any. The same photo and the same
        arguments give the same pixels each time.

        Args:
            photo: The photo.
            max_side: Shrink the photo first so that its longer side has at most this many pixels.
            options: How strong the painting is, whose colours it has, and how large its strokes are. At
                strength 0 it is the photo itself, in the style picture's colours where they are matched.
            max_memory: Bytes that may be used beside the picture's own. A picture that needs more is painted
                in tiles, by the statistics of samples; see `tiles`.
            exact: Paint tiles by the statistics of the whole picture, which takes several times as long.
            overwrite: The photo is not needed any more: tiles may be painted over its pixels, to save memory.
            on_progress: Called now and then while tiles are painted.

        Raises:
            SettingError: Not even the smallest tile can be painted with that memory; or as in `check`.
            DeviceMemoryError: The GPU's memory is full, for smaller tiles, too.
            DeviceFailedError: The GPU reported an error.
        """
        self.check(options)
        rgb = fit(photo.rgb, max_side)
        if options.match_palette and self._palette:
            rgb = self._palette().colour(rgb)
        if options.strength == 0:
            return photo.with_alpha(rgb.copy())
        overwrite = (overwrite or rgb is not photo.rgb) and not options.needs_photo
        small = fit(rgb, options.working_side(rgb.size))
        painting = self._paint_rgb(small, max_memory, exact, overwrite, on_progress)
        if small is not rgb:
            painting = enlarge(painting, small, rgb)
        return photo.with_alpha(options.apply(rgb, painting))

    def _paint_rgb(
        self, rgb: Image.Image, max_memory: int, exact: bool, overwrite: bool, on_progress: ProgressCallback
    ) -> Image.Image:
        overwrite = overwrite and self.device.type == "cpu"  # on a GPU it may be needed a second time
        try:
            with device_errors():
                return self._paint_once(rgb, max_memory, exact, overwrite, on_progress)
        except DeviceMemoryError:
            if overwrite:
                raise
        with device_errors():  # not in the handler, whose error keeps what the GPU is full of
            release_memory(self.device)
            scarce = scarce_memory(self.network, rgb.width, max_memory)
            return self._paint_once(rgb, scarce, exact, overwrite, on_progress)

    def _paint_once(
        self, rgb: Image.Image, max_memory: int, exact: bool, overwrite: bool, on_progress: ProgressCallback
    ) -> Image.Image:
        large_enough = extended(rgb, MIN_SIDE)
        if not fits_whole(self.network, large_enough.size, max_memory):
            painting = large_enough
            if painting is rgb and not overwrite:
                painting = painting.copy()
            tiling = Tiling(self.network, painting, self.info.grain, max_memory, self.engine.piecewise)
            tiling.paint_over(exact, on_progress)
            return _crop(painting, rgb.size)
        painting = from_array(self.engine(grained(large_enough, self.info.grain)))
        return _crop(painting, rgb.size)


def _engine(
    network: TransformerNet,
    info: ModelInfo,
    device: str | torch.device,
    engine: str,
    precision: str,
    threads: int | None,
    ranges: Ranges | None,
) -> Engine:
    """As `make_engine`; fp16 only where the paintings of the example photos stay nearly the same."""
    made = make_engine(network, device, engine, precision, threads, ranges)
    if made.precision == "fp16":
        full = make_engine(network, device, engine, "fp32", threads)
        held = least_psnr(made, full, example_photos(info.grain).numpy())
        if not held >= LEAST_HALF:
            raise SettingError(
                f"This model's paintings in fp16 have {held:.1f} dB against those in fp32, less than "
                f"{LEAST_HALF:g}; use fp32."
            )
    return made


def _crop(painting: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Takes off again what `extended` put on."""
    return painting if painting.size == size else painting.crop((0, 0, *size))
