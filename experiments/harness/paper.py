"""The numbers of the paper's tables and figures, and what they show, in our words: arXiv 1908.04008."""

CAPTIONS = {
    "section 3": "Batch noise, and how attention to the instance regulates it",
    "Eqs. 6 to 8": "What a gate does to the scale of an instance",
    "Table 1": "Accuracy and parameters of BN, SE and IEBN on image classification",
    "Table 2": "Accuracy under constant noise x̂·N_a + N_b in the normalized step",
    "Table 3": "Accuracy where 120 k images of another data set are in each batch of 100",
    "Table 4": "The operator that makes δ of the mean: identity, fully connected (FC), linear",
    "Table 5": "What δ acts on: scale, shift, both",
    "Table 6": "The start values of γ̂ and β̂, a 3 x 3 grid",
    "Figure 2": "Stylized pictures",
    "Figure 3": "Content and style loss of a style network in training",
    "Figure 4": "The activation of δ: sigmoid, tanh, ReLU, softmax",
    "Figure 5": "Losses of the style network with BN, IEBN and IN",
    "new": "Not in the paper",
}
