"""The tab in which a visitor's own picture becomes a style: choose, start, watch, paint with it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from html import escape
from typing import Any, Final

import gradio as gr

from app.page import card_captions, file_access, theme, train_view
from app.page.compare_tab import (
    STYLE_PICTURE,
    CompareHandlers,
    CompareTab,
    Wall,
    show_converted,
    toast,
    upload_box,
)
from app.page.style_pickers import Pickers
from app.painting.service import PaintingService
from app.training.manager import TrainingManager
from app.training.status import TrainingStatus
from styles.catalog import style_name
from transformer_net.errors import SettingError, StylizerError
from transformer_net.imaging.decode import decode
from transformer_net.norms import NORMS, norm_slug
from transformer_net.prediction.style_picture import predicted_norms

LENGTHS: Final = {"Sketch": 150, "Good": 500, "Thorough": 1000}
"""Steps of the trainings that are offered; 500 is the default of train_style.py."""

_LOOK_SECONDS: Final = 1.0
"""How often a page that watches asks what is new."""

_OFF: Final = (
    "<p>This server does not train styles. Start it with <code>STYLIZER_ALLOW_TRAINING=true</code>, or run "
    "<code>python train_style.py --style my-picture.jpg</code> in a terminal.</p>"
)

_MEASURING: Final = "<p>Measuring the time with a few steps …</p>"

_BUSY: Final = "<p>A style is being trained; its remaining time is shown beside it.</p>"


class TrainHandlers:
    """The events of the tab. One instance serves all visitors and keeps nothing of theirs.

    Args:
        service: Whose styles are offered.
        manager: Who trains.
        pickers: Where they are offered.
    """

    def __init__(self, service: PaintingService, manager: TrainingManager, pickers: Pickers) -> None:
        self._service, self._manager, self._pickers = service, manager, pickers
        self._known = [style.name for style in service.registry.styles()]

    async def estimate(self, upload: dict[str, Any] | None, norm: str, steps: int) -> AsyncIterator[str]:
        """Yields how long the chosen training takes, for which a few steps are made where it is not known."""
        if not upload:
            yield _promise()
            return
        yield _MEASURING
        try:
            length = _length(steps)
            picture = await self._open(upload)
            times = await asyncio.to_thread(self._manager.measure, picture, str(norm))
        except Exception as error:  # a full disk, say
            yield _promise()
            raise (toast(error) if isinstance(error, StylizerError) else error) from None
        if times is None:
            yield _BUSY
            return
        yield (
            f"<p><strong>{train_view.spoken(times.seconds(length)).capitalize()}</strong> for {length:,} "
            f"steps, estimated from a short trial ({times.step:.2g} s a step). "
            "The estimate is corrected during the training.</p>"
        )

    async def estimate_again(self, said: str, *order: Any) -> AsyncIterator[Any]:
        """`estimate`, where it could not tell because of a training, which has ended by now."""
        if said != _BUSY:
            yield gr.skip()
            return
        async for line in self.estimate(*order):
            yield line

    async def begin(self, upload: dict[str, Any] | None, name: str, norm: str, steps: int) -> None:
        """Start the training.

        Raises:
            gr.Error: With one sentence, if the picture or the name is not usable, or another training runs.
        """
        if not upload:
            raise gr.Error("Choose a picture first.", title="No picture", print_exception=False)
        try:
            length = _length(steps)
            picture = await self._open(upload)
            wanted = await self._wanted(name, upload, picture)
            await asyncio.to_thread(self._manager.start, picture, wanted, str(norm), length)
        except StylizerError as error:
            raise toast(error) from None

    async def follow(self) -> AsyncIterator[tuple[Any, ...]]:
        """Yields progress, sample, curves, thumbnails and choices of styles, until the training ends."""
        before: TrainingStatus | None = None
        known: list[str] | None = None
        while True:
            status = self._manager.status
            names = [style.name for style in self._service.registry.styles()]
            if known is None or status is not before or names != known:
                sample = curves = gr.skip() if known is not None else ""
                if status and (
                    before is None or (status.sample, status.running) != (before.sample, before.running)
                ):
                    sample = await asyncio.to_thread(train_view.sample, status)
                if status and (before is None or len(status.records) != len(before.records)):
                    curves = train_view.curves(status)
                same = names == (known or self._known)
                offer = [gr.skip()] * (1 + len(self._pickers.components())) if same else self.offer()
                yield train_view.progress(status), sample, curves, *offer
            if status is None or not status.running:
                if before is not None and before.running and status and status.kept:
                    gr.Info(f"The style {status.request.style} can be painted with now.", title="Trained")
                return
            before, known = status, names
            await asyncio.sleep(_LOOK_SECONDS)

    async def improve(self, wall: Wall, name: str, *shown: Any) -> AsyncIterator[tuple[Any, ...]]:
        """Train on the style picture of the shown paintings, from what is predicted of it, one normalizer
        after the other, and paint their photo meanwhile.

        Args:
            wall: Tells what the paintings were made of, and whether others hang there by now.
            name: What the style shall be called.
            shown: The photo and the paintings that are shown now, then the captions.

        Yields:
            Progress, photo, paintings, captions, thumbnails and choices of styles. Only what is new: once
            something else is painted, that stays, and the training goes on beside it.

        Raises:
            gr.Error: With one sentence, if something is not usable, or another training runs.
        """
        compare, comparison = CompareHandlers(self._service), wall.comparison
        folder, began = file_access.cache() / f"painting-{secrets.token_hex(16)}", False

        def step(progress: str, new: dict[int, Any], offer: list[Any] | None = None) -> tuple[Any, ...]:
            hangs = wall.comparison is comparison
            same = [gr.skip()] * (1 + len(self._pickers.components()))
            updates = (new.get(place, gr.skip()) if hangs else gr.skip() for place in range(len(shown)))
            return progress, *updates, *(offer or same)

        def tell_kept() -> None:
            if wall.comparison is not comparison:  # then the progress line is no longer seen
                gr.Info(f"The style {style} can be painted with now.", title="Trained")

        try:
            if comparison is None or comparison.style_picture is None:
                raise SettingError("Paint with a picture of yours as the style first.")
            photo, stem = await compare.open(comparison.photo, comparison.side)
            picture = await self._open(comparison.style_picture)
            wanted = await self._wanted(name, comparison.style_picture, picture)
            style, began = style_name(wanted), True
            # Where the painting was stopped, those of an earlier photo are left.
            captions = [str(caption) for caption in shown[1 + len(NORMS) :]]
            old = [n for n, caption in enumerate(captions, 1) if not card_captions.is_done(caption)]
            yield step(_improving("starting", "Getting ready …"), dict.fromkeys(old))
            # What an earlier click trained before it was stopped is not trained again.
            trained = await asyncio.to_thread(self._manager.trained, picture, wanted)
            for norm in predicted_norms():
                place, stopped = 1 + list(NORMS).index(norm), False
                caption = place + len(NORMS)
                if norm not in trained:
                    arguments = picture, wanted, norm, LENGTHS["Sketch"], photo.rgb
                    request = (await asyncio.to_thread(self._manager.start, *arguments)).request
                    seen = None
                    while (status := self._manager.status) and status.request is request and status.running:
                        new = {caption: card_captions.learning(norm, train_view.said(status))}
                        # Samples are painted without options: they would not fit to paintings with some.
                        if status.sample and status.sample != seen and not comparison.options.chosen():
                            path = folder / f"{stem}-{style}-{norm_slug(norm)}-{status.sample.stem}.png"
                            sample = await asyncio.to_thread(decode, status.sample)
                            new[place], seen = await compare.save(sample.rgb, path), status.sample
                        said = f"{train_view.title(style, norm)}: {escape(train_view.said(status))}"
                        yield step(_improving(status.state, said, norm), new)
                        await asyncio.sleep(_LOOK_SECONDS)
                    if status is None or status.request is not request or not status.kept:
                        raise SettingError((status and status.sentence) or "The training was ended.")
                    stopped = status.state != "finished"
                painted = await compare.paint_one(photo, style, norm, comparison.options)
                path = folder / f"{stem}-{style}-{norm_slug(norm)}.png"
                new = {
                    place: await compare.save(painted.image, path),
                    caption: card_captions.done(norm, painted.seconds, painted.parameters),
                }
                said = f"{train_view.title(style, norm)} is kept."
                yield step(_improving("stopped" if stopped else "kept", said, norm), new, self.offer())
                if stopped:
                    tell_kept()
                    return
        except Exception as error:  # a full disk, say: nothing may be left that seems to go on
            if began:
                yield step(_improving("failed", "Stopped."), {})
            raise (toast(error) if isinstance(error, StylizerError) else error) from None
        done = f"Kept as the style <strong>{escape(style)}</strong>: choose it like any other."
        tell_kept()
        yield step(_improving("finished", done), {}, self.offer())

    def stop(self) -> None:
        """End the training; what it learned is kept."""
        self._manager.stop()

    def use(self) -> tuple[Any, ...]:
        """The Compare tab with the new style chosen."""
        status = self._manager.status
        if status is None or not status.kept:
            raise gr.Error("There is no new style yet.", title="No style", print_exception=False)
        return gr.Tabs(selected="compare"), *self.offer(status.request.style)

    def offer(self, chosen: str | None = None) -> list[Any]:
        """The style sheet with the styles' thumbnails, and all choices, as they are now."""
        styles = self._service.registry.styles()
        return [f"<style>{theme.thumbnails(styles)}</style>", *self._pickers.offer(styles, chosen)]

    async def _wanted(self, name: str, upload: dict[str, Any], picture: Any) -> str:
        """The name that the visitor gave, else one for the picture."""
        file = str(upload.get("orig_name") or "")
        return str(name or "").strip() or await asyncio.to_thread(self._manager.name_for, picture, file)

    async def _open(self, upload: dict[str, Any]) -> Any:
        path = file_access.uploaded(upload)
        if path is None:
            raise gr.Error("Choose the picture again.", title="Picture gone", print_exception=False)
        data = await asyncio.to_thread(path.read_bytes)
        return await self._service.in_codec_thread(lambda: self._manager.open_picture(data))


def build(
    service: PaintingService,
    manager: TrainingManager,
    page: gr.Blocks,
    tab: gr.Tab,
    tabs: gr.Tabs,
    pickers: Pickers,
    compare: CompareTab,
) -> None:
    """Adds the tab's contents to the Blocks being built, and *Make it better* to those of the Compare tab; no
    event at all where this server does not train.

    Args:
        service: Whose styles are offered.
        manager: Who trains.
        page: The page, for what happens when it is opened.
        tab: The tab that is being filled.
        tabs: All tabs; that of the comparison has the id `compare`.
        pickers: The choices of a style in all of them.
        compare: The Compare tab.
    """
    gr.HTML(_lede(manager), apply_default_css=False)
    compare.improve.visible = manager.allowed
    if not manager.allowed:
        gr.HTML(_OFF, elem_id="training-off", apply_default_css=False)
        return
    handlers = TrainHandlers(service, manager, pickers)
    with gr.Row(elem_id="train-panel"):
        with gr.Column(elem_id="order", min_width=0):
            picture, name, norm, steps, estimate, start, stop = _order()
        with gr.Column(elem_id="training-run", min_width=0):
            progress = gr.HTML(
                train_view.progress(None), elem_id="training-run-progress", apply_default_css=False
            )
            use = gr.Button("Paint with it", variant="primary", size="lg", elem_id="train-use", min_width=0)
            sample = gr.HTML("", elem_id="training-run-sample", apply_default_css=False)
            curves = gr.HTML("", elem_id="training-run-curves", apply_default_css=False)
    gr.HTML(
        '<p id="training-run-state" role="status" class="unseen"></p>', apply_default_css=False
    )  # see page.js
    show_converted(picture, service)
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": None,
    }
    # One at a time: each holds a thread for as long as it measures, and painting needs such threads, too.
    one_at_a_time = {**quiet, "concurrency_limit": 1, "concurrency_id": "estimate"}
    order = [picture, norm, steps]
    gr.on(
        [picture.change, norm.change, steps.change],
        handlers.estimate,
        order,
        estimate,
        preprocess=False,  # as in the Compare tab
        trigger_mode="always_last",
        **one_at_a_time,
    )
    styles = [compare.thumbnails, *pickers.components()]
    watched = [progress, sample, curves, *styles]
    started = start.click(handlers.begin, [picture, name, norm, steps], preprocess=False, **quiet)
    for ended in (
        started.success(handlers.follow, None, watched, **quiet),
        gr.on([page.load, tab.select], handlers.follow, None, watched, trigger_mode="once", **quiet),
    ):
        ended.then(handlers.estimate_again, [estimate, *order], estimate, preprocess=False, **one_at_a_time)
    stop.click(handlers.stop, **quiet)
    use.click(handlers.use, None, [tabs, *styles], **quiet)
    with compare.improve:
        _improve_panel(handlers, compare, styles, quiet)


def _improve_panel(
    handlers: TrainHandlers, compare: CompareTab, styles: list[Any], quiet: dict[str, Any]
) -> None:
    gr.HTML(
        "<h2>Make it better</h2><p>These paintings come from one look at your picture. A training of about a "
        "minute for each normalizer sharpens them before your eyes, and keeps them as a style.</p>",
        elem_id="improve-about",
        apply_default_css=False,
    )
    with gr.Row(elem_id="improve-actions"):
        name = gr.Textbox(
            label="Name of the style",
            placeholder="empty: the picture's",
            max_length=60,
            elem_id="improve-name",
        )
        start = gr.Button("Make it better", variant="primary", elem_id="improve-start", min_width=0)
        stop = gr.Button("Stop and keep", elem_id="improve-stop", min_width=0)
    progress = gr.HTML("", elem_id="improve-progress", apply_default_css=False)
    gr.HTML('<p id="improve-state" role="status" class="unseen"></p>', apply_default_css=False)  # see page.js
    start.click(
        handlers.improve,
        [compare.wall, name, *compare.shown],
        [progress, *compare.shown, *styles],
        preprocess=False,
        trigger_mode="once",
        **quiet,
    )
    stop.click(handlers.stop, **quiet)


def _order() -> tuple[Any, ...]:
    picture = upload_box("picture", "Style picture", *STYLE_PICTURE)
    name = gr.Textbox(
        label="Name",
        info="Empty: the picture's. The same name and picture add another normalizer to your style.",
        max_length=60,
        elem_id="style-name",
    )
    norm = gr.Radio(
        card_captions.choices(NORMS),
        value="iebn",
        label="Normalizer",
        elem_id="training-run-norm",
    )
    steps = gr.Radio(
        [(f"{word}, {count:,} steps", count) for word, count in LENGTHS.items()],
        value=LENGTHS["Good"],
        label="Length",
        elem_id="training-run-steps",
    )
    estimate = gr.HTML(_promise(), elem_id="estimate", apply_default_css=False)
    with gr.Row(elem_id="training-run-actions"):
        start = gr.Button("Train", variant="primary", size="lg", elem_id="train", min_width=0)
        stop = gr.Button("Stop and keep", size="lg", elem_id="train-stop", min_width=0)
    return picture, name, norm, steps, estimate, start, stop


def _improving(state: str, line: str, norm: str = "") -> str:
    return f'<p class="improving" data-state="{state}" data-norm="{norm}">{line}</p>'


def _lede(manager: TrainingManager) -> str:
    photos = (
        "It trains on the photos that the operator of this server chose."
        if manager.has_content
        else "It trains on the few photos that ship with the project. This is enough to see what your "
        "picture gives. For a style that suits any photo, name a folder of some 2,000 photos in "
        "<code>STYLIZER_CONTENT</code>."
    )
    return (
        '<div class="lede"><h2>Your picture as a style</h2><p>A network that starts between all styles here '
        "learns to paint in the strokes and colours of your picture. Train one normalizer, or more under the "
        f"same name, one after the other, and compare them. {photos}</p></div>"
    )


def _promise() -> str:
    return "<p>Choose a picture: a short trial then measures how long the training takes.</p>"


def _length(steps: object) -> int:
    """The number of steps that was chosen; raises `SettingError` where it is none that is offered."""
    for count in LENGTHS.values():
        if steps == count:
            return count
    raise SettingError("Choose one of the lengths.")
