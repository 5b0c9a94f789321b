"""What the New style tab shows of a training: words and a bar, the sample painting, the curves."""

from __future__ import annotations

import base64
from html import escape
from typing import Final

from app.page import curves_tab
from app.training.status import TrainingStatus
from styles.gallery.train import curves_of
from transformer_net.norms import NORM_TITLES

_BEFORE: Final = (
    "<p>The example photo will appear here as the network learns to paint it, and below it the "
    "losses of the training.</p>"
)


def progress(status: TrainingStatus | None) -> str:
    """Which style and norm, how far they are, and a bar while steps are made."""
    if status is None:
        return f'<div class="training-run" data-state="none">{_BEFORE}</div>'
    request = status.request
    steps = request.iterations
    bar = f'<progress max="{steps}" value="{status.iteration}" aria-label="Steps done"></progress>'
    return (
        f'<div class="training-run" data-state="{status.state}"{" data-kept" if status.kept else ""}>'
        f"<h2>{title(request.style, request.norm)}</h2><p>{escape(said(status))}</p>"
        f"{bar if status.running else ''}</div>"
    )


def title(style: str, norm: str) -> str:
    """Style and normalizer, as HTML."""
    return f"{escape(style)}, {NORM_TITLES[norm]}"


def said(status: TrainingStatus) -> str:
    """Where a training is, in a sentence or two."""
    left = "" if status.seconds_left is None else f" {spoken(status.seconds_left).capitalize()} left."
    done = f"{status.iteration:,} of {status.request.iterations:,} steps"
    if status.state == "starting":
        return f"Getting ready: reading your picture and the photos …{left}"
    if status.state == "training":
        return f"{done}.{left}"
    if status.state == "stopping":
        return f"{done}. Saving what it has learned …"
    if status.state == "finished":
        return f"Trained: {done}. You can paint with it in the Compare tab, also after a restart."
    if status.kept:
        return f"Stopped after {done}. You can paint with it in the Compare tab."
    return status.sentence or "Stopped before anything was learned."


def sample(status: TrainingStatus) -> str:
    """The latest sample painting, or an empty frame before the first."""
    if status.sample is None:
        first = f"The example photo will appear here, painted after {status.request.sample_every:,} steps."
        frame = f'<figure class="sample"><div class="mat"></div><figcaption>{first}</figcaption></figure>'
        return frame if status.running else ""
    try:
        data = base64.b64encode(status.sample.read_bytes()).decode("ascii")
    except OSError:  # a new training began and cleared the folder
        return ""
    steps = int(status.sample.stem)
    return (
        f'<figure class="sample"><img src="data:image/jpeg;base64,{data}" '
        f'alt="The example photo, painted after {steps:,} steps">'
        f"<figcaption>After {steps:,} steps</figcaption></figure>"
    )


def curves(status: TrainingStatus) -> str:
    """The losses so far, drawn as in the Training tab; empty until there is something to draw."""
    phases = curves_of(status.records)
    return curves_tab.draw({status.request.norm: phases}) if len(phases["training"]) > 1 else ""


def spoken(seconds: float) -> str:
    """A time in words; rounded, because other work on the machine changes it."""
    if seconds < 50:
        return f"about {max(5, 5 * round(seconds / 5))} seconds"
    if seconds < 90:
        return "about a minute"
    if seconds < 3600:
        return f"about {round(seconds / 60)} minutes"
    return f"about {seconds / 3600:.1f} hours"
