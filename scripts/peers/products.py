"""Matrix products of PyTorch, and the fused head and loss of flash-linear-attention, at the shapes of a 1.36 B model.

usage: [PYTHONPATH=<flash-linear-attention checkout>] python3 products.py

One JSON row each, beside those of linear.cuda.bench.js and cross-entropy.cuda.bench.js. bf16; PyTorch's weight gradients are
bf16 too, ours f32. Errors of the loss are those against f32 throughout (no TF32).
"""

import importlib.util
import json

import torch
import torch.nn.functional as F

from timing import milliseconds, peak_bytes


def row(**values):
    print(json.dumps(values), flush=True)


def products(rows, num_out, num_in):
    x, dy = (torch.randn(rows, size, device='cuda').bfloat16() for size in (num_in, num_out))
    weight = (0.02 * torch.randn(num_out, num_in, device='cuda')).bfloat16()
    times = milliseconds(dict(forward=lambda: x @ weight.t(), inputGradient=lambda: dy @ weight,
                              weightGradient=lambda: dy.t() @ x), 30, most=20)
    for product, spread in times.items():
        tflops = [round(2 * rows * num_out * num_in / ms / 1e9) for ms in spread]
        row(torch=torch.__version__, product=product, shape=dict(rows=rows, numOut=num_out, numIn=num_in),
            tflops=tflops[0], spread=[tflops[2], tflops[1]])


def relative_error(found, exact):
    return ((found.float() - exact).norm() / exact.norm()).item()


def head_and_loss(num_tokens, dim, vocab):
    from fla.modules import FusedLinearCrossEntropyLoss
    hidden = torch.randn(num_tokens, dim, device='cuda').bfloat16().requires_grad_()
    weight = (0.02 * torch.randn(vocab, dim, device='cuda')).bfloat16().requires_grad_()
    labels = 7919 * torch.arange(num_tokens, device='cuda') % vocab

    def run(loss_of):
        hidden.grad = weight.grad = None
        loss = loss_of(hidden, labels, weight)
        loss.backward()
        return loss

    exact = [tensor.detach().float().requires_grad_() for tensor in (hidden, weight)]
    exact_loss = F.cross_entropy(exact[0] @ exact[1].t(), labels)
    exact_loss.backward()
    for in_f32 in (True, False):
        loss_of = FusedLinearCrossEntropyLoss(accumulate_grad_in_fp32=in_f32)
        loss = run(loss_of)
        errors = dict(loss=abs((loss - exact_loss).item()), hidden=relative_error(hidden.grad, exact[0].grad),
                      weight=relative_error(weight.grad, exact[1].grad))
        spread = milliseconds(dict(loss=lambda: run(loss_of)), 100, most=10)['loss']
        row(peer='FusedLinearCrossEntropyLoss', shape=dict(numTokens=num_tokens, dim=dim, vocab=vocab),
            weightGradientInF32=in_f32, medianMs=spread[0], spreadMs=spread[1:], peakBytes=peak_bytes(lambda: run(loss_of)),
            errors=errors)


def main():
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    for rows in (8192, 32768):
        for num_out, num_in in ((2048, 2048), (5632, 2048), (2048, 5632), (32000, 2048), (1024, 2048)):
            products(rows, num_out, num_in)
    if importlib.util.find_spec('fla') is not None:
        head_and_loss(8192, 2048, 32000)


if __name__ == '__main__':
    main()
