import { fileURLToPath } from 'node:url';

/** Folders of our packages, sources and compiled files alike. */
const ours = [
  new URL('../../', import.meta.url),
  new URL('../', import.meta.resolve('@longscan/kernels')),
].map((url) => fileURLToPath(url));
const layersFolder = /[/\\]layers[/\\][^/\\]+$/;

/** The line of a layer's own file that an error came through (`file:line:column`); null where none did. */
export function ownLine(error: Error): string | null {
  return ownFrames(error)[0]?.place ?? null;
}

/** An error's stack without the lines of our packages; all of it where a layer's own file is not in it. */
export function ownStack(error: Error): string {
  const own = ownFrames(error).map(({ line }) => line);
  const stack = error.stack ?? error.message;
  return own.length === 0 ? stack : [`${error.name}: ${error.message}`, ...own].join('\n');
}

/** Lines of a stack that are of nobody's packages, as far as there are any before those of who called ours. */
function ownFrames({ stack = '' }: Error): readonly Frame[] {
  const frames = stack.split('\n').flatMap((line): Frame[] => {
    const place = /^ +at .*?(?:file:\/\/|\()?(\/[^()]*:\d+:\d+)\)?$/.exec(line)?.[1];
    return place === undefined ? [] : [{ line, place }];
  });
  const own = frames.filter((frame) => !isOurs(frame) && !frame.place.includes('/node_modules/'));
  const called = own.filter((frame) => frames.indexOf(frame) < frames.map(isOurs).lastIndexOf(true));
  // A stack that is cut off may not reach down to us.
  return called.length > 0 ? called : own;
}

interface Frame {
  readonly line: string;
  /** `file:line:column` */
  readonly place: string;
}

function isOurs({ place }: Frame): boolean {
  const file = place.replace(/:\d+:\d+$/, '');
  return ours.some((folder) => file.startsWith(folder)) && !layersFolder.test(file);
}
