/** What one kernel takes on one architecture, as `ptxas -v` says. */
export interface KernelResources {
  /** Mangled. */
  readonly symbol: string;
  readonly architecture: string;
  readonly registers: number;
  /** Shared memory that the kernel declares; a launch may ask for more. */
  readonly sharedBytes: number;
  readonly stackBytes: number;
  /** Stores or loads of registers that did not fit, whichever are more. */
  readonly spillBytes: number;
}

/** A loss that the compiler tells of: products of warpgroups one after the other, an ignored `setmaxnreg`. */
export interface CompilerRemark {
  /** Mangled; null: not said. */
  readonly symbol: string | null;
  /** As C7514. */
  readonly code: string;
  readonly text: string;
}

const entry = /^ptxas info\s*: Compiling entry function '([^']+)' for '(sm_\w+)'/;
const properties = /^ptxas info\s*: Function properties for (\S+)/;
const stack = /^\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/;
const used = /^ptxas info\s*: Used (\d+) registers(?:.* (\d+) bytes smem)?/;
const loss = /^ptxas \w+\s*: (\((C75\d\d)\) Potential Performance Loss: .*)/;

/** Every kernel of a report, in its order. */
export function parsePtxasReport(text: string): {
  kernels: KernelResources[];
  remarks: CompilerRemark[];
} {
  const kernels: KernelResources[] = [];
  const remarks: CompilerRemark[] = [];
  let current: { symbol: string; architecture: string } | null = null;
  let memory = { stackBytes: 0, spillBytes: 0 };
  let isEntry = false;
  for (const line of text.split('\n')) {
    const [, remark, code] = loss.exec(line) ?? [];
    if (remark !== undefined) {
      const [, symbol] = /function '([^']+)'/.exec(remark) ?? [];
      remarks.push({ symbol: symbol ?? null, code: code!, text: remark });
    }
    const [, symbol, architecture] = entry.exec(line) ?? [];
    if (symbol !== undefined) current = { symbol, architecture: architecture! };
    // Functions that a kernel calls have properties too, between its own lines.
    const [, described] = properties.exec(line) ?? [];
    if (described !== undefined) isEntry = described === current?.symbol;
    const [, frame, stores, loads] = stack.exec(line) ?? [];
    if (frame !== undefined && isEntry)
      memory = { stackBytes: Number(frame), spillBytes: Math.max(Number(stores), Number(loads)) };
    const [, registers, sharedBytes = '0'] = used.exec(line) ?? [];
    if (registers === undefined || current === null) continue;
    kernels.push({
      ...current,
      registers: Number(registers),
      sharedBytes: Number(sharedBytes),
      ...memory,
    });
    current = null;
    memory = { stackBytes: 0, spillBytes: 0 };
  }
  return { kernels, remarks };
}

/** `sweep<4, false>` of `void longscan::(anonymous namespace)::sweep<4, false>(longscan::Call)`. */
export function shortName(demangled: string): string {
  const plain = demangled.replaceAll('(anonymous namespace)::', '').replaceAll('longscan::', '');
  return plain.replace(/^void /, '').replace(/\([^()]*\)$/, '');
}
