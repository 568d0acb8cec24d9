"""Times the CUDA kernels of a training step that are bound by memory, beside a copy on the device and PyTorch: AdamW, the gradient's
norm, the embedding, rotary positions, element-wise ops. time_elementwise.py LIBRARY.so. A line a case: microseconds, median
(fastest to slowest of 10), and bytes that the op must read and write, over that time."""

import ctypes
import statistics
import sys

import torch

pointer, i32, i64, f32, f64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_float, ctypes.c_double
LIBRARY = ctypes.CDLL(sys.argv[1])
NUM_PARAMETERS = 1_360_000_000


class Array(ctypes.Structure):
    _fields_ = [('data', pointer), ('isBf16', i32)]


def structure(**kinds):
    return type('Call', (ctypes.Structure,), dict(_fields_=list(kinds.items())))


Adamw = structure(beta1=f32, beta2=f32, rest1=f32, rest2=f32, rate=f32, correction2=f32, eps=f32, decay=f32)
AdamwParameter = structure(whole=pointer, high=pointer, low=pointer)
AdamwMoments = structure(m=pointer, v=pointer, areBf16=i32, key=ctypes.c_uint32 * 2, step=ctypes.c_uint32, firstElement=i64)
Embedding = structure(tokens=pointer, numTokens=i64, vocab=i64, dim=i64)
Rotary = structure(rows=i64, H=i64, K=i64, theta=f64, sign=f64, step=i64, positions=pointer)
Broadcast = structure(outer=i64, middle=i64, inner=i64)


def array(x):
    return Array(None if x is None else x.data_ptr(), int(x is not None and x.dtype == torch.bfloat16))


def at(x):
    return pointer(None if x is None else x.data_ptr())


def call(name, *arguments):
    stream = pointer(torch.cuda.current_stream().cuda_stream)
    if error := getattr(LIBRARY, name)(*arguments, stream):
        raise RuntimeError(f'{name}: CUDA error {error}')


def workspace(name, argument):
    count = getattr(LIBRARY, name)
    count.restype = ctypes.c_size_t
    return torch.empty(count(argument), dtype=torch.uint8, device='cuda')


def time(label, num_bytes, run):
    times = []
    for round in range(13):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        if round >= 3:
            times.append(begin.elapsed_time(end) * 1e3)
    median = statistics.median(times)
    print(f'{label:52s} {median:9.1f} us ({min(times):.1f} to {max(times):.1f}) {num_bytes / median / 1e6:6.2f} TB/s', flush=True)


def time_optimizer():
    n = NUM_PARAMETERS
    source = torch.empty(1 << 30, device='cuda').normal_()
    target = torch.empty_like(source)
    time('copy of 4 GiB', 8 * source.numel(), lambda: target.copy_(source))
    del source, target
    gradient = torch.empty(n, device='cuda').normal_()
    sums, total = workspace('longscanSumOfSquaresWorkspaceBytes', i64(n)), torch.zeros(1, dtype=torch.float64, device='cuda')
    time('sum of squares, 1.36e9', 4 * n,
         lambda: call('longscanSumOfSquares', at(gradient), i64(n), at(sums), at(total)))
    parameter = gradient.clone()
    high, low = (torch.zeros(n, dtype=torch.bfloat16, device='cuda') for _ in range(2))
    clip = torch.tensor([0.5, 1.0, 1.0], dtype=torch.float64, device='cuda')
    parts = torch.empty((n + 1023) // 1024, dtype=torch.float64, device='cuda')
    step = Adamw(0.9, 0.95, 0.1, 0.05, 1e-3, 1.1, 1e-8, 1e-4)
    for dtype, each in ((torch.float32, 28), (torch.bfloat16, 20)):
        m, v = (torch.zeros(n, dtype=dtype, device='cuda') for _ in range(2))
        moments = AdamwMoments(m.data_ptr(), v.data_ptr(), int(dtype == torch.bfloat16), (1, 2), 1, 0)
        for label, places in (('in halves', (None, high, low)), ('whole', (parameter, None, None))):
            where = AdamwParameter(*map(at, places))
            for squares in (None, parts):
                norm = ', norm' if squares is not None else ''
                time(f'adamw, 1.36e9, {label}, moments {dtype}{norm}', each * n,
                     lambda: call('longscanAdamw', ctypes.byref(step), ctypes.byref(where), ctypes.byref(moments), at(gradient), at(clip),
                                  at(squares), i64(n)))
        del m, v
    sum_parts = workspace('longscanSumOfPartsWorkspaceBytes', i64(parts.numel()))
    time(f'sum of {parts.numel()} parts', 8 * parts.numel(),
         lambda: call('longscanSumOfParts', at(parts), i64(parts.numel()), at(sum_parts), at(total)))
    del parameter, high, low, gradient
    for dtype, each in ((torch.float32, 28), (torch.bfloat16, 14)):
        parameters = [torch.nn.Parameter(torch.zeros(n // 64, dtype=dtype, device='cuda')) for _ in range(64)]
        for one in parameters:
            one.grad = torch.ones_like(one)
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
        time(f'torch.optim.AdamW, fused, {dtype}, 1.36e9', each * n, optimizer.step)
        del parameters, optimizer
        torch.cuda.empty_cache()


def time_embedding(T, vocab=32000, D=2048):
    # Ranks of words, about as Zipf has them.
    tokens = (vocab ** torch.rand(T, device='cuda') - 1).clamp(0, vocab - 1).to(torch.int32)
    table, dtable = torch.randn(vocab, D, device='cuda').bfloat16(), torch.zeros(vocab, D, device='cuda')
    y, dy = torch.empty(T, D, dtype=torch.bfloat16, device='cuda'), torch.randn(T, D, device='cuda').bfloat16()
    argument = ctypes.byref(Embedding(tokens.data_ptr(), T, vocab, D))
    memory = workspace('longscanEmbeddingGradientWorkspaceBytes', argument)
    written = 2 * T * D + 8 * tokens.unique().numel() * D
    time(f'embedding, T = {T}', 4 * T * D, lambda: call('longscanEmbedding', argument, at(table), at(y), i64(2)))
    time(f'torch embedding, T = {T}', 4 * T * D, lambda: torch.nn.functional.embedding(tokens, table))
    time(f'embedding gradient, += in f32, T = {T}', written,
         lambda: call('longscanEmbeddingGradient', argument, array(dy), array(dtable), 1, at(memory)))
    time(f'torch embedding gradient, = in bf16, T = {T}', 2 * T * D + 2 * vocab * D,
         lambda: torch.ops.aten.embedding_dense_backward(dy, tokens, vocab, -1, False))


def time_rotary(T, H=16, K=128):
    positions = torch.arange(T, dtype=torch.int32, device='cuda')
    x = torch.randn(T, H, K, device='cuda').bfloat16()
    y = torch.empty_like(x)
    argument = ctypes.byref(Rotary(T, H, K, 10000.0, 1.0, 1, positions.data_ptr()))
    memory = workspace('longscanRotaryWorkspaceBytes', argument)
    time(f'rotary [{T}, {H}, {K}]', 4 * x.numel(), lambda: call('longscanRotary', argument, array(x), array(y), at(memory)))


def time_elements(T=32768, D=2048, H=16):
    n, count = T * D, i64(T * D)
    x, z = (torch.randn(T, D, device='cuda').bfloat16() for _ in range(2))
    y, channel, head = (torch.randn(*shape, device='cuda') for shape in ((T, D), (D,), (T, H)))
    log_sigmoid, silu = 2, 3  # of `Activation` in pointwise.h
    time('cast, bf16 to f32', 6 * n, lambda: call('longscanCast', array(x), array(y), count))
    time('log-sigmoid, bf16 to f32', 6 * n,
         lambda: call('longscanActivation', log_sigmoid, f32(1 / 16), array(x), array(y), count))
    time('log-sigmoid, gradient', 8 * n,
         lambda: call('longscanActivationBackward', log_sigmoid, f32(1 / 16), array(x), array(y), at(z), count))
    time('silu, bf16', 4 * n, lambda: call('longscanActivation', silu, f32(1), array(x), array(z), count))
    time('torch silu, bf16', 4 * n, lambda: torch.nn.functional.silu(x))
    time('add, bf16', 6 * n, lambda: call('longscanAdd', array(x), array(z), array(z), count))
    for label, shape, other in (('channel', Broadcast(T, D, 1), channel), ('token and head', Broadcast(1, T * H, D // H), head)):
        shares = torch.empty((T + 63) // 64, D, device='cuda') if other is channel else torch.empty(T, H, device='cuda')
        argument = ctypes.byref(shape)
        time(f'mul-along, bf16 by an f32 per {label}', 4 * n,
             lambda: call('longscanBroadcastMultiply', argument, array(x), array(other), array(z)))
        time(f'mul-along, gradient per {label}', 4 * n,
             lambda: call('longscanBroadcastReduce', argument, array(x), array(z), array(shares)))


print(torch.cuda.get_device_name(), 'torch', torch.__version__)
time_optimizer()
for tokens in (8192, 32768, 131072):
    time_embedding(tokens)
for tokens in (8192, 32768):
    time_rotary(tokens)
time_elements()
