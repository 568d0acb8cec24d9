import { z } from 'zod';

/** What was found, or why it was not, in the words of an error. */
const outcomeOf = <T extends z.ZodType>(value: T) =>
  z.discriminatedUnion('ok', [
    z.object({ ok: z.literal(true), value }),
    z.object({
      ok: z.literal(false),
      code: z.string(),
      found: z.string(),
      expected: z.string().optional(),
      fix: z.string().optional(),
    }),
  ]);

const library = z.object({ version: z.string(), path: z.string() });
const products = library.extend({ engine: z.string() });

/** Facts of a machine that only the native library knows, each asked for in a process of its own (`facts/main.ts`). */
export const factSchemas = {
  /** What the addon computes with on this CPU. */
  addon: outcomeOf(z.object({ cpu: z.string(), products: outcomeOf(products) })),
  /** GPUs that the driver shows. */
  'gpu-count': outcomeOf(z.number()),
  /** The GPU of this index: what it is, whether our kernels run on it, which library multiplies on it. */
  gpu: outcomeOf(
    z.object({
      name: z.string(),
      capability: z.number(),
      totalBytes: z.number(),
      freeBytes: z.number(),
      driverVersion: z.number(),
      kernels: outcomeOf(z.null()),
      products: outcomeOf(products),
    }),
  ),
  nccl: outcomeOf(library),
  /** How chains go between the ranks of a group over all GPUs. */
  group: outcomeOf(
    z.discriminatedUnion('carrier', [
      z.object({ carrier: z.literal('mapped-memory') }),
      z.object({ carrier: z.literal('messages'), isChosen: z.boolean(), reason: z.string() }),
    ]),
  ),
  /** What came back through a socket to this port of this host. */
  loopback: outcomeOf(z.string()),
} as const;

export type FactName = keyof typeof factSchemas;
export type Fact<N extends FactName> = z.infer<(typeof factSchemas)[N]>;
export type Refusal = Extract<Fact<'nccl'>, { ok: false }>;
/** The value of a fact that was found. */
export type Known<N extends FactName> = Extract<Fact<N>, { ok: true }>['value'];

/** What the process of a fact sends to the one that started it. */
export const factMessageSchema = z.discriminatedUnion('kind', [
  /** Of the first rank of a group: the others need its id. */
  z.object({ kind: z.literal('group-id'), id: z.string() }),
  z.object({ kind: z.literal('outcome'), outcome: z.unknown() }),
]);
export type FactMessage = z.infer<typeof factMessageSchema>;
