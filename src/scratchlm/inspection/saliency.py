"""Where a text surprised a model, and by which of its tokens a prediction moves most."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from scratchlm.base.errors import UserError
from scratchlm.inspection.prediction import Prediction, log_probability
from scratchlm.inspection.trace import BEGINNING, trace
from scratchlm.model.quantized import QuantizedWeight


@torch.no_grad()
def token_losses(prediction: Prediction) -> Float[Tensor, " T"]:
    """Return the loss of each token in nats, given those before it; of the first one NaN: nothing is before it."""
    logits = trace(prediction.model, prediction.ids).logits[0, :-1].float()
    losses = -torch.log_softmax(logits, -1).gather(-1, prediction.ids[0, 1:, None].to(logits.device)).squeeze(-1)
    return torch.cat([losses.new_full((1,), torch.nan), losses])


def token_gradients(prediction: Prediction) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
    """Return of each token the gradient of the answer's loss: its length, and its product with the token's vector.

    The answer is the token in question; its loss is minus its log-probability. A product below 0 says that a longer
    vector would make the answer likelier. Raises `UserError` for quantized weights, which have no gradient.
    """
    if any(isinstance(part, QuantizedWeight) for part in prediction.decoder.modules()):
        raise UserError("gradients: this model's weights are rounded to integers; look at the model it was made from")
    seen = trace(prediction.model, prediction.ids, [BEGINNING, "logits"], differentiable=True)
    loss = -log_probability(seen.logits[0, -1], prediction.target)
    (gradient,) = torch.autograd.grad(loss, [seen[BEGINNING]])
    vectors = seen[BEGINNING].detach()
    return gradient[0].norm(dim=-1), (gradient[0] * vectors[0]).sum(-1)
