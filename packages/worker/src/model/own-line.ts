import { fileURLToPath } from 'node:url';

/** Folders of our packages, sources and compiled files alike. */
const ours = [
  new URL('../../', import.meta.url),
  new URL('../', import.meta.resolve('@longscan/kernels')),
].map((url) => fileURLToPath(url));
const layersFolder = /[/\\]layers[/\\][^/\\]+$/;

/** The line of a layer's own file that an error came through (`file:line:column`); null where none did. */
export function ownLine(error: Error): string | null {
  for (const frame of (error.stack ?? '').split('\n').slice(1)) {
    const place = /(?:file:\/\/|\()?(\/[^()]*:\d+:\d+)\)?$/.exec(frame.trim())?.[1];
    if (place === undefined || place.includes('/node_modules/')) continue;
    const file = place.replace(/:\d+:\d+$/, '');
    if (ours.some((folder) => file.startsWith(folder)) && !layersFolder.test(file)) continue;
    return place;
  }
  return null;
}
