"""What the Python sides of the CUDA kernels share: structures, memory, errors, comparisons."""

import ctypes
import math

import torch

pointer, i32, i64, f32 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_float
ELEMENTS = {torch.bfloat16: 0, torch.float32: 1}


def structure(name, **kinds):
    """A C structure; `kinds` in order: names of fields of one kind, as `i64='B T'` (a suffix _ keeps keys apart)."""
    kind_of = dict(pointer=pointer, i32=i32, i64=i64, f32=f32)
    fields = [(field, kind_of[kind.rstrip('_')]) for kind, names in kinds.items() for field in names.split()]
    return type(name, (ctypes.Structure,), dict(_fields_=fields))


def address(tensor):
    return None if tensor is None else tensor.data_ptr()


class Library:
    """Functions of the shared library. Fresh memory is filled with NaN when `poison` is set."""

    def __init__(self, path, poison=False):
        self.functions = ctypes.CDLL(path)
        self.poison = poison

    def empty(self, shape, dtype=torch.float32):
        fresh = torch.empty(shape, dtype=dtype, device='cuda')
        return fresh.fill_(float('nan')) if self.poison else fresh

    def workspace(self, name, call):
        count = getattr(self.functions, name)
        count.restype = ctypes.c_size_t
        size = count(ctypes.byref(call))
        if size == 0:
            raise ValueError('this call is not supported')
        return self.empty((size + 3) // 4)

    def run(self, name, *arguments):
        """Tensors go as addresses, structures by reference, numbers of C as they are."""
        def passed(x):
            if isinstance(x, ctypes.Structure):
                return ctypes.byref(x)
            return pointer(address(x)) if x is None or torch.is_tensor(x) else x

        stream = pointer(torch.cuda.current_stream().cuda_stream)
        error = getattr(self.functions, name)(*map(passed, arguments), stream)
        if error != 0:
            raise RuntimeError(f'{name}: CUDA error {error}')


def asked_for(arguments, cases, types):
    """Of `cases`, with their numbers, those whose numbers are among `arguments`, of `types` those whose names are; all where none is."""
    numbers = [int(x) for x in arguments if x.isdigit()]
    return [(i, cases[i]) for i in numbers or range(len(cases))], [x for x in types if str(x).removeprefix('torch.') in arguments] or types


def starts(tokens, B, T):
    """Document starts at `tokens`, one later in each further batch row; None: documents are not packed."""
    if tokens is None:
        return None
    resets = torch.zeros(B, T, dtype=torch.int32, device='cuda')
    for b in range(B):
        for t in tokens:
            resets[b, min(t + b, T - 1)] = 1
    return resets


def log_uniform(low, high, *shape):
    """-exp of numbers spread evenly: log decays over all orders of magnitude from `low` to `high`, both negative."""
    ends = math.log(-high), math.log(-low)
    return -torch.empty(shape, device='cuda', dtype=torch.float32).uniform_(*ends).exp()


def say(good, label):
    print('ok  ' if good else 'FAIL', label, flush=True)
    return good


def by_name(names, *lists):
    """A dictionary of each list of tensors."""
    return [dict(zip(names, tensors)) for tensors in lists]


def compare(label, bound, found, again, exact):
    """Dictionaries by name; false if a tensor is wrong: its error |x - f64| / |f64| is over the bound, or other bits come
    out when the call is made again. `bound`: one number, or by name. What is None in f64 is left out."""
    shown, good = [], True
    for name, y in exact.items():
        if y is None:
            continue
        x = found[name]
        norm = y.norm().item()
        error = (x.double() - y).norm().item() / (norm if norm > 0 else 1)
        most = bound[name] if isinstance(bound, dict) else bound
        same = torch.equal(x, again[name])
        good = good and error <= most and same
        shown.append(f'{name} {error:.1e}' + ('' if error <= most else '!') + ('' if same else ' differs when run again'))
    return say(good, f'{label} | ' + ' '.join(shown))


class Checks:
    """Compares, prints and counts."""

    def __init__(self):
        self.results = []

    def __call__(self, label, bound, found, again, exact):
        """As `compare`."""
        self.results.append(compare(label, bound, found, again, exact))

    def add(self, good, label):
        self.results.append(say(good, label))

    def finish(self):
        """The exit status."""
        print(f'{sum(self.results)} passed, {len(self.results) - sum(self.results)} failed')
        return 0 if all(self.results) else 1


def gradients(outputs, adjoints, leaves):
    """By name, of sum(outputs * adjoints); an output that nothing weighs has the adjoint None."""
    loss = sum((y * dy.double()).sum() for y, dy in zip(outputs, adjoints) if dy is not None)
    named = {name: x for name, x in leaves.items() if x is not None}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {'d' + name: torch.zeros_like(x) if g is None else g for (name, x), g in zip(named.items(), found)}


def exact_leaves(**tensors):
    return {name: None if x is None else x.double().requires_grad_() for name, x in tensors.items()}
