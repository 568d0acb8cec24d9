/** What to do where the system refuses to read or to write something, by its error code. */
export const diskRemedies: Readonly<Record<string, string>> = {
  EMFILE: 'raise the limit of open files (ulimit -n)',
  ENFILE: 'end what holds so many files open on this host',
  EIO: 'see to the disk or the share that it lies on',
  ELOOP: 'mend the links that lead in a circle',
};

const room = 'free some space';
const right = 'let this user write there';
const away = 'move away what is in its place';

/** The same for what is written. ENOENT is not among them: what is missing depends on what is written. */
export const writeRemedies: Readonly<Record<string, string>> = {
  ...diskRemedies,
  ENOSPC: room,
  EDQUOT: room,
  EFBIG: 'raise the limit of file sizes (ulimit -f)',
  EROFS: right,
  EACCES: right,
  EPERM: right,
  EEXIST: away,
  ENOTDIR: away,
  EISDIR: away,
  ENAMETOOLONG: 'give a shorter name',
};
