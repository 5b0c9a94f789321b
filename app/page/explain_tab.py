"""The tab that explains: what the four layers compute, and what to look for."""

from __future__ import annotations

import gradio as gr

from app.page.card_captions import title
from transformer_net.norms import norm_slug

_LATEX: list[dict[str, str | bool]] = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]

_INTRO = """
<div class="lede"><h2>One layer makes the difference</h2>
<p>A small network looks at your photo once and paints it. After each of its convolutions, a
<em>normalization</em> layer brings the numbers to a common scale, channel by channel: subtract a mean,
divide by a spread. The four networks here are the same in everything but this: whose mean and whose
spread.</p></div>
"""

_FORMULAS = {
    "bn": (
        r"$$y = \gamma\,\frac{x-\mu_{\mathcal B}}{\sqrt{\sigma_{\mathcal B}^2+\epsilon}} + \beta$$",
        "In training, mean and spread are those of the current batch of photos; afterwards, running averages "
        "of them serve every photo alike. What other photos happen to be in the batch acts as noise.",
    ),
    "in": (
        r"$$y = \gamma\,\frac{x-\mu_{x}}{\sqrt{\sigma_{x}^2+\epsilon}} + \beta$$",
        "Mean and spread are the photo's own, in training and afterwards. Contrast and lighting of the photo "
        "are taken out before the style is put on. Nothing depends on a batch.",
    ),
    "bn+se": (
        r"$$\begin{gathered}"
        r"\delta = \mathrm{sigmoid}(W_2\,\mathrm{ReLU}(W_1\,\mathrm{AVG}(y_{\mathrm{BN}})))\\"
        r"y = y_{\mathrm{BN}}\cdot\delta\end{gathered}$$",
        "Batch norm, followed by squeeze-and-excitation: a tiny network looks at all channel averages of the "
        "photo and turns each channel up or down. It brings the photo's own say back, at a price in "
        "parameters.",
    ),
    "iebn": (
        r"$$\begin{gathered}\delta = \mathrm{sigmoid}(\hat\gamma\cdot\mathrm{AVG}(x)+\hat\beta)\\"
        r"y = \hat x\cdot(\gamma\cdot\delta)+\beta\end{gathered}$$",
        "Instance enhancement batch normalization: the same idea within the layer. Each channel's average in "
        "the photo steers its own scale. $\\hat x$ is the batch-normalized input; $\\hat\\gamma$ starts at 0 "
        "and $\\hat\\beta$ at −1. Two extra parameters a channel, no more.",
    ),
}

_LOOK_FOR = """
### What to look for

- **Even areas**, such as sky, walls and skin. Is the style spread over them, or do they break into blotches?
- **Contrast.** Take a dark photo and a bright one. Instance norm paints both with the same strength; batch
  norm lets the light of the photo through.
- **Edges and faces.** How much of the drawing survives, and does the style change from place to place?
- **The border.** Follow one brush stroke to the edge of the picture.

Use the slider to compare any two pictures, and the details to see single strokes.
"""

_EXPECT = """
### What the paper says to expect

[Instance Enhancement Batch Normalization: An Adaptive Regulator of Batch
Noise](https://arxiv.org/abs/1908.04008) (Liang et al., AAAI 2020) argues that the noise of the batch
**confuses the style**: batch norm reaches higher losses, in training and on photos it has not seen.
Squeeze-and-excitation and IEBN **regulate that noise** and come close to instance norm, which has none; IEBN
does so with **two extra parameters a channel**.

Whether these models agree is in the *Training* tab. The same network, the same photos and the same number of
steps were used for all four.

For programs: [the HTTP API](../docs) paints the same pixels as this page.
"""


def build() -> None:
    """Adds the tab's contents to the Blocks being built."""
    gr.HTML(_INTRO, apply_default_css=False)
    with gr.Row(elem_id="formulas"):
        for norm, (formula, words) in _FORMULAS.items():
            with gr.Column(elem_classes=["formula", f"norm-{norm_slug(norm)}"], min_width=0):
                gr.Markdown(f"### {title(norm)}\n{formula}\n\n{words}", latex_delimiters=_LATEX)
    with gr.Row(elem_id="reading"):
        gr.Markdown(_LOOK_FOR)
        gr.Markdown(_EXPECT)
