import { fileURLToPath } from 'node:url';

/** Folders of our packages, sources and compiled files alike. */
const ours = [
  new URL('../../', import.meta.url),
  new URL('../', import.meta.resolve('@longscan/kernels')),
].map((url) => fileURLToPath(url));
const layersFolder = /[/\\]layers[/\\][^/\\]+$/;

/** The line of a layer's own file that an error came through (`file:line:column`); null where none did. */
export function ownLine(error: Error): string | null {
  for (const line of framesOf(error)) {
    const place = ownPlace(line);
    if (place !== null) return place;
  }
  return null;
}

/** An error's stack without the lines of our packages; all of it where a layer's own file is not in it. */
export function ownStack(error: Error): string {
  const own = framesOf(error).filter((line) => ownPlace(line) !== null);
  const stack = error.stack ?? error.message;
  return own.length === 0 ? stack : [`${error.name}: ${error.message}`, ...own].join('\n');
}

function framesOf({ stack = '' }: Error): string[] {
  return stack.split('\n').filter((line) => /^ +at /.test(line));
}

/** `file:line:column` of a stack's line, unless it is of our packages or of somebody else's. */
function ownPlace(line: string): string | null {
  const place = /(?:file:\/\/|\()?(\/[^()]*:\d+:\d+)\)?$/.exec(line.trim())?.[1];
  if (place === undefined || place.includes('/node_modules/')) return null;
  const file = place.replace(/:\d+:\d+$/, '');
  const isOurs = ours.some((folder) => file.startsWith(folder)) && !layersFolder.test(file);
  return isOurs ? null : place;
}
