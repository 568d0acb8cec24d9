"""The report as text: a line while it runs, tables in Markdown at the end."""


def ratio(row, label):
    """Ours over the peer's median, or None."""
    ours, peer = (row.get(who, {}).get(label) for who in ('ours', 'peer'))
    return ours[0] / peer[0] if ours and peer else None


def line(row):
    where = f'{row["op"]:11} T={row["T"]} H={row["H"]} K={row["K"]} V={row["V"]}'
    if 'gates' in row:
        return f'{where} {row["gates"]} errors ' + ' '.join(error_cells(row))
    parts = []
    for who in ('ours', 'peer'):
        found = row.get(who, {})
        shown = found.get('missing') or ' '.join(f'{label} {found[label][0]:.3f}' for label in ('forward', 'both', 'graph')
                                                 if label in found)
        parts.append(f'{who}: {shown}')
    ratios = [f'{label} {ratio(row, label):.2f}' for label in ('forward', 'both', 'graph') if ratio(row, label)]
    return f'{where} | ' + ' | '.join(parts + ['ratio ' + ' '.join(ratios)])


def error_cells(row):
    """By output: ours / peer, marked where ours is more than 1.1 times the peer's."""
    ours, peer = row.get('ours'), row.get('peer')
    if not isinstance(ours, dict):
        others = peer if isinstance(peer, dict) else {}
        return [f'ours: {ours}', *(f'{label} – / {value:.2e}' for label, value in others.items())]
    cells = []
    for label, value in ours.items():
        other = peer.get(label) if isinstance(peer, dict) else None
        worse = other is not None and not value <= 1.1 * other
        shown = f'{value:.2e} / ' + ('–' if other is None else f'{other:.2e}')
        cells.append(f'{label} ' + (f'**{shown}**' if worse else shown))
    return cells


def time_cell(found, label):
    if label not in (found or {}):
        return ''
    median, low, high = found[label]
    return f'{median:.3f} ({low:.3f} – {high:.3f})'


def fraction(row, which, index, label, rate):
    least = row.get(which)
    ours = row.get('ours', {}).get(label)
    return f'{100 * least[index] / rate / ours[0] * 1e3:.0f} %' if least and ours else ''


def markdown(report):
    machine, rates = report['machine'], report['ceilings']
    lifted = ('The peer refuses some gated backward passes with this Triton on Hopper because Triton computes them wrongly; '
              'that check was lifted for this run.\n') if machine['refusalLifted'] else ''
    text = [f'{machine["gpu"]}, PyTorch {machine["torch"]}, Triton {machine["triton"]}, '
            f'flash-linear-attention {machine["fla"]}. Copies ran at {rates["bytesPerSecond"] / 1e12:.2f} TB/s, bf16 products of 8192³ at '
            f'{rates["flopsPerSecond"] / 1e12:.0f} TFLOP/s, in this run.', lifted]
    if report['rows']:
        text += ['| op | T | H, K, V | pass | ours ms | peer ms | ratio | bytes floor | FLOP floor | peak MB ours / peer |',
                 '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |']
    missing = []
    for row in report['rows']:
        where = f'{row["op"]} | {row["T"]:,} | {row["H"]}, {row["K"]}, {row["V"]}'
        for who in ('ours', 'peer'):
            if reason := row.get(who, {}).get('missing'):
                missing.append(f'* {row["op"]}, T = {row["T"]:,}, {row["H"]}, {row["K"]}, {row["V"]}, {who}: {reason}')
        for index, label in ((0, 'forward'), (1, 'both'), (1, 'graph')):
            cells = [time_cell(row.get(who), label) for who in ('ours', 'peer')]
            if not any(cells):
                continue
            quotient = ratio(row, label)
            memory = ' / '.join(f'{row[who]["peakBytes"] / 1e6:,.0f}' if 'peakBytes' in row.get(who, {}) else '–'
                                for who in ('ours', 'peer')) if label == 'both' else ''
            text.append(f'| {where} | {"both, CUDA graph" if label == "graph" else label} | ' + ' | '.join([
                *cells, f'**{quotient:.2f}**' if quotient else '',
                fraction(row, 'bytes', index, label, rates['bytesPerSecond']),
                fraction(row, 'flops', index, label, rates['flopsPerSecond']), memory]) + ' |')
    text += ['', *missing] if missing else []
    if report['errors']:
        text += ['', '| op | T | log decays | \\|x − f64\\| / \\|f64\\|, ours / peer |', '| --- | --- | --- | --- |']
        for row in report['errors']:
            gates = '' if row['gates'] is None else f'{row["gates"][0]} … {row["gates"][1]}'
            text.append(f'| {row["op"]} | {row["T"]:,} | {gates} | {", ".join(error_cells(row))} |')
    return '\n'.join(text) + '\n'
