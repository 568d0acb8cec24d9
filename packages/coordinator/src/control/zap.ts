import { type Context, Reply } from 'zeromq';

/** Where libzmq looks for the handler, fixed by RFC 27. One per context. */
const zapEndpoint = 'inproc://zeromq.zap.01';
const zapVersion = '1.0';

/**
 * Answers libzmq's question "may this peer connect?" (ZeroMQ RFC 27, ZAP): yes for CURVE clients whose public key is
 * on the list, no for everybody else.
 *
 * CURVE alone authenticates the server only: without this handler any client that knows the server's public key gets
 * in. It has to be bound before the socket it guards.
 */
export class ZapHandler {
  readonly #socket: Reply;
  readonly #domain: string;
  readonly #allowed: ReadonlySet<string>;
  #numDenied = 0;

  private constructor(context: Context, domain: string, allowedKeys: readonly Buffer[]) {
    this.#socket = new Reply({ context, linger: 0 });
    this.#domain = domain;
    this.#allowed = new Set(allowedKeys.map((key) => key.toString('hex')));
  }

  /** @param allowedKeys Public keys of the clients, 32 raw bytes each. */
  static async open(context: Context, domain: string, allowedKeys: readonly Buffer[]): Promise<ZapHandler> {
    const handler = new ZapHandler(context, domain, allowedKeys);
    await handler.#socket.bind(zapEndpoint);
    void handler.#serve();
    return handler;
  }

  /** Connections refused so far. A refused client tries again, so one client may count many times. */
  get numDenied(): number {
    return this.#numDenied;
  }

  close(): void {
    this.#socket.close();
  }

  async #serve(): Promise<void> {
    for await (const [version, requestId, domain, , , mechanism, credential] of this.#socket) {
      const allowed =
        version?.toString() === zapVersion &&
        domain?.toString() === this.#domain &&
        mechanism?.toString() === 'CURVE' &&
        credential?.length === 32 &&
        this.#allowed.has(credential.toString('hex'));
      if (!allowed) this.#numDenied++;
      const status = allowed ? ['200', 'OK'] : ['400', 'not one of the job'];
      await this.#answer([zapVersion, requestId ?? '', ...status, '', '']);
    }
  }

  /** Where the socket was closed meanwhile nobody waits for an answer: `send` then throws at once, or its promise rejects. */
  async #answer(frames: Parameters<Reply['send']>[0]): Promise<void> {
    try {
      await this.#socket.send(frames);
    } catch {}
  }
}
