"""Holds the CUDA kernels of ops/cross-entropy, which stand between cuBLASLt's products, against f64: usage and exit status as
check_vector_scan.py."""

import sys

import torch

from kernel_calls import Checks, Library, address, i64, structure

SoftmaxLoss = structure('SoftmaxLoss', i64='rows vocab', i32='gradient gradientIsBf16', pointer='scale logits labels rowLoss')

# Rows and vocabularies: alone, in packs and not, by few threads and by many.
CASES = [(1, 1), (3, 7), (5, 1000), (70, 2048), (2, 5001), (9, 33000)]


class Losses:
    def __init__(self, library):
        self.library = library

    def rows(self, logits, labels, scale, gradient):
        """The loss of each row; and the gradient of `scale` times their sum in this type, which takes the logits' place; or None."""
        rows, vocab = logits.shape
        place, loss = logits.clone(), self.library.empty((rows,), torch.float64)
        call = SoftmaxLoss(rows, vocab, gradient is not None, gradient == torch.bfloat16, *map(address, (scale, place, labels, loss)))
        self.library.run('longscanSoftmaxLoss', call)
        if gradient is None:
            return loss, None
        return loss, place.view(gradient)[:, :vocab].clone()

    def sum(self, loss, scale):
        target = self.library.empty((1,))
        self.library.run('longscanSumLoss', loss, i64(loss.numel()), scale, target)
        return target


def check(losses, checks, rows, vocab, gradient):
    logits = 3 * torch.randn(rows, vocab, device='cuda')
    labels = torch.randint(-1, vocab, (rows,), dtype=torch.int32, device='cuda')
    scale = torch.full((1,), 0.25, dtype=torch.float64, device='cuda')

    def ours():
        loss, d_logits = losses.rows(logits, labels, scale, gradient)
        return dict(rows=loss, sum=losses.sum(loss, scale), **({} if d_logits is None else dict(dlogits=d_logits)))

    if '--calls-only' in sys.argv:
        ours()
        return
    leaf = logits.double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(leaf, labels.long(), ignore_index=-1, reduction='none')
    total = 0.25 * loss.sum()
    exact = dict(rows=loss.detach(), sum=total.detach()[None])
    if gradient is not None:
        total.backward()
        exact['dlogits'] = leaf.grad
    bounds = dict(rows=1e-6, sum=1e-6, dlogits=4e-3 if gradient == torch.bfloat16 else 2e-6)
    checks(f'[{rows}, {vocab}], gradient {gradient}', bounds, ours(), ours(), exact)


def main():
    torch.manual_seed(0)
    losses, checks = Losses(Library(sys.argv[1], poison=True)), Checks()
    for rows, vocab in CASES:
        for gradient in (None, torch.float32, torch.bfloat16):
            check(losses, checks, rows, vocab, gradient)
    torch.cuda.synchronize()
    sys.exit(checks.finish())


main()
