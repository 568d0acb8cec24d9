import { z } from 'zod';

/** A sha256 in hex. */
export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/);
