import { z } from 'zod';

/** A CURVE key in Z85, the form ZeroMQ's options take; a ZAP request carries the same key as 32 raw bytes. */
const z85Key = z.string().regex(/^[0-9a-zA-Z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/);

/** What one rank needs to reach the coordinator. Lives in a file of mode 0600 until the rank has said hello. */
export const keyFileSchema = z.strictObject({
  publicKey: z85Key,
  secretKey: z85Key,
  /** The coordinator's public key. */
  serverKey: z85Key,
  /** Proves which rank speaks, hex. */
  secret: z.string().regex(/^[0-9a-f]{64}$/),
});

export type KeyFile = z.infer<typeof keyFileSchema>;
