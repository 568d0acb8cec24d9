import { escapeMarkup } from './escape-markup.js';

export interface Section {
  readonly title: string;
  /** HTML. */
  readonly body: string;
}

/** A page that needs no other file and no network, in the reader's light or dark theme. */
export function htmlPage(title: string, lead: string, sections: readonly Section[]): string {
  const parts = sections.map(
    ({ title: name, body }) => `<section>\n<h2>${escapeMarkup(name)}</h2>\n${body}\n</section>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeMarkup(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeMarkup(title)}</h1>
<p class="lead">${escapeMarkup(lead)}</p>
${parts.join('\n')}
</body>
</html>
`;
}

/** A table whose cells are text; `align` has `<` or `>` per column, as in `formatTable`. */
export function htmlTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  align = '',
): string {
  const row = (cells: readonly string[], tag: 'th' | 'td') => {
    const content = cells.map((cell, i) => {
      const right = align[i] === '>' ? ' class="number"' : '';
      return `<${tag}${right}>${escapeMarkup(cell)}</${tag}>`;
    });
    return `<tr>${content.join('')}</tr>`;
  };
  const head = header.length === 0 ? '' : `<thead>${row(header, 'th')}</thead>`;
  const body = rows.map((cells) => row(cells, 'td')).join('\n');
  return `<div class="wide"><table>${head}<tbody>\n${body}\n</tbody></table></div>`;
}

/** Charts side by side where there is room. */
export function htmlCharts(svgs: readonly string[]): string {
  return `<div class="charts">\n${svgs.map((svg) => `<figure>${svg}</figure>`).join('\n')}\n</div>`;
}

/** Text that keeps its lines, folded away until it is asked for. */
export function htmlDetails(summary: string, text: string): string {
  return `<details><summary>${escapeMarkup(summary)}</summary><pre>${escapeMarkup(text)}</pre></details>`;
}

export function htmlList(items: readonly string[]): string {
  return `<ul>${items.map((item) => `<li>${escapeMarkup(item)}</li>`).join('\n')}</ul>`;
}

const style = `
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --back: #ffffff; --panel: #f6f8fa; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9198a1; --line: #3d444d; --back: #0d1117; --panel: #151b23; } }
body { margin: 2rem auto; max-width: 76rem; padding: 0 1.25rem; color: var(--ink); background: var(--back);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.lead { color: var(--soft); margin: 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; padding: .5rem; background: var(--panel); border-radius: 6px; } figure svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; color: var(--soft); } .number { text-align: right; }
pre { overflow-x: auto; padding: .75rem; background: var(--panel); border-radius: 6px; font-size: 13px; }
summary { cursor: pointer; } li { margin: .15rem 0; }
`;
