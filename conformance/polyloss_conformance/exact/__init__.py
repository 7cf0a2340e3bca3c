"""What the losses are, in 60 digits and explicit loops: values, gradients and how sensitive they are to rounding.

Nothing here calls polyloss or a framework. An exact rule is written as the textbook value, on numbers that carry their
derivatives along (`jets`); `softmax` has such numbers for the probabilities of classes. `rules` makes the
exact result of an example of them, `arrange` that of a case, `reduce` that of a call.

The condition scale of a value f is ``|f| + sum |x df/dx|`` over its rounded inputs x; that of an element g of the
gradient is ``|g| + sum |x dg/dx|``. So an error of eps times the scale is what one rounding of each input costs. The
rounded inputs are residuals, differences of logits (to the target's for values, to the largest for gradients),
differences of coordinates, and target probabilities, except 0 and 1, which are exact.

The logits of a linear layer are computed. Beside their differences, each product ``h_i w_i`` in them is an input that
is rounded, so is the bias, and so is a logit once it was capped: the size of a logit's own rounding is
``sum |h_i w_i| + |b|``, however small the logit. An element of the gradient by hidden states or by the layer is a sum
of products as well: its scale is the sum of theirs. Of two losses in one, as with a z-loss, the scales add.

An infinite input stands for the limit: it is computed as a very large number, and a very large result is infinite.

To check a rule: differentiate its value numerically (a step of 1e-18 leaves 20 digits and more), and compare with its
gradients wherever it reports no kink.
"""
