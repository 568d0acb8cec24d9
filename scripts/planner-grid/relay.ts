import { once } from 'node:events';
import net from 'node:net';
import { Alarm } from './alarm.js';

/** What the relay is told first: where it listens for others, in rank order, and where the ranks themselves listen. */
export interface RelayOrders {
  readonly host: string;
  readonly targets: readonly { readonly host: string; readonly port: number }[];
}

interface Held {
  readonly due: number;
  readonly pass: () => void;
}

// A process between all ranks, which holds everything back for as long as it was told last. It reads as fast as data
// arrives, so that a sender's port is busy for as long as it sends and no longer.

let delayMs = 0;
/** Due one after the other, since all are held equally long. */
const held: Held[] = [];
const alarm = new Alarm(passOn);

function hold(pass: () => void): void {
  held.push({ due: performance.now() + delayMs, pass });
  if (held.length === 1) alarm.set(held[0]!.due);
}

function passOn(): void {
  const now = performance.now();
  while (held.length > 0 && held[0]!.due <= now) held.shift()!.pass();
  if (held.length > 0) alarm.set(held[0]!.due);
}

function join(from: net.Socket, to: net.Socket): void {
  from.setNoDelay(true);
  from.on('data', (chunk) => hold(() => to.write(chunk)));
  from.on('end', () => hold(() => to.end()));
  from.on('error', () => to.destroy());
}

process.on('disconnect', () => process.exit()); // the grid has ended
process.on('message', (news: RelayOrders | { delayMs: number }) => {
  if ('delayMs' in news) {
    delayMs = news.delayMs;
    process.send!('set');
  } else {
    void listen(news).then((ports) => process.send!(ports));
  }
});

function listen({ host, targets }: RelayOrders): Promise<number[]> {
  return Promise.all(
    targets.map(async (target) => {
      const server = net.createServer((dialler) => {
        const onward = net.connect(target);
        join(dialler, onward);
        join(onward, dialler);
      });
      server.listen(0, host);
      await once(server, 'listening');
      return (server.address() as net.AddressInfo).port;
    }),
  );
}
