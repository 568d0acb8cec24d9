"""The least that each op needs: bytes with every input read once and every output written once in either pass, and the
products that its definition has with the state (none inside chunks, which are the algorithm's own)."""

# Products with a K x V state per token and head: forward, and both passes (the state is computed again for the gradients).
STATE_PRODUCTS = dict(linear=(2, 7), fixed=(2, 7), simple_gla=(2, 7), gla=(2, 7), delta=(3, 11), gated_delta=(3, 11),
                      kda=(3, 11), delta_product=(5, 19), comba=(3, 11), rwkv7=(4, 15), rwkv6=(2, 7))


def least_bytes(x, dO):
    """(forward, both)."""
    inputs = sum(y.numel() * y.element_size() for y in x.values())
    output = dO.numel() * dO.element_size()
    return inputs + output, 3 * inputs + 2 * output


def least_flops(name, shape):
    """(forward, both); None where arithmetic is nothing beside memory."""
    T, H, K, V = shape
    if name == 'attention':  # causal pairs
        return T * T * H * (K + V), T * T * H * (4 * K + 3 * V)
    products = STATE_PRODUCTS.get(name)
    return products and tuple(2 * n * T * H * K * V for n in products)
