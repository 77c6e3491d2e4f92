// Issue 19: the official libraries verify deliveries, over kills of the server and of the receiver.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AccessToken, WebhookReceiver } from 'livekit-server-sdk';
import { Webhook } from 'standardwebhooks';
import { afterEach, expect, it } from 'vitest';
import { API_KEY, API_SECRET } from '../harness/livekit.js';
import { Roomwatch } from '../harness/roomwatch.js';
import { until } from '../harness/wait.js';

const SECRET = `whsec_${Buffer.from('0123456789abcdef01234567').toString('base64')}`;
const ROOMS = 5;

type Verify = (
  body: string,
  headers: IncomingMessage['headers'],
) => Promise<{ id: string; room: string; delivery: string }>;

/** A receiver that takes only what its library verifies. */
class Receiver {
  readonly taken: { id: string; room: string; delivery: string }[] = [];
  readonly faults: string[] = [];
  private server: Server | undefined;
  port = 0;
  constructor(private readonly verify: Verify) {}

  async up(): Promise<void> {
    const server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8');
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        this.verify(body, request.headers).then(
          (event) => {
            this.taken.push(event);
            response.writeHead(204).end();
          },
          (error) => {
            this.faults.push(String(error));
            response.writeHead(400).end();
          },
        );
      });
    });
    this.server = server;
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
  }

  async down(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
}

const standard = new Webhook(SECRET);
const receiver = new WebhookReceiver(API_KEY, API_SECRET);

const verifiers: Record<string, Verify> = {
  webhook: async (body, headers) => {
    const payload = standard.verify(body, headers as Record<string, string>) as any;
    const { event } = payload.data;
    return { id: event.id, room: event.room.name, delivery: String(headers['webhook-id']) };
  },
  livekit: async (body, headers) => {
    const event = await receiver.receive(body, headers.authorization);
    return { id: event.id, room: event.room?.name ?? '', delivery: String(headers['roomwatch-delivery']) };
  },
};

let roomwatch: Roomwatch | undefined;
const receivers: Receiver[] = [];
afterEach(async () => {
  await roomwatch?.close();
  for (const one of receivers.splice(0)) await one.down();
});

async function post(server: Roomwatch, n: number): Promise<void> {
  const room = { name: `room-${n % ROOMS}`, sid: `RM_${n % ROOMS}`, creationTime: '1787486400' };
  const body = JSON.stringify({ event: 'room_started', id: `EV_${n}`, room, createdAt: '1787486400' });
  const token = new AccessToken(API_KEY, API_SECRET);
  token.sha256 = createHash('sha256').update(body).digest('base64');
  const headers = { authorization: await token.toJwt(), 'content-type': 'application/webhook+json' };
  const answer = await fetch(server.webhookUrl, { method: 'POST', headers, body });
  expect(answer.status).toBe(200);
}

it('verifies with the official libraries, in order and complete, when server and receivers are killed', async () => {
  for (const kind of ['webhook', 'livekit']) {
    const one = new Receiver(verifiers[kind] as Verify);
    await one.up();
    receivers.push(one);
  }
  const [webhook, livekit] = receivers as [Receiver, Receiver];
  const server = await Roomwatch.start({
    name: 'deliveries',
    config: `
reconcile_secs = 0
open_conditions = false
[[projects]]
name = "default"
keys = [{ key = "${API_KEY}", secret = "${API_SECRET}" }]
[deliveries]
allow_http = true
allow_networks = ["127.0.0.1/32"]
[[endpoints]]
name = "standard"
kind = "webhook"
url = "http://127.0.0.1:${webhook.port}/"
secret = "${SECRET}"
[[endpoints]]
name = "sdk"
kind = "livekit"
url = "http://127.0.0.1:${livekit.port}/"
`,
  });
  roomwatch = server;
  let sent = 0;
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 50; n++) await post(server, sent++);
    if (round % 2 === 0) {
      await server.kill();
      await server.up();
    } else {
      for (const one of receivers) await one.down();
      for (let n = 0; n < 20; n++) await post(server, sent++);
      for (const one of receivers) await one.up();
    }
  }
  const ids = (one: Receiver) => new Set(one.taken.map((event) => event.id));
  await until('both receivers to have every event', () => receivers.every((one) => ids(one).size === sent), {
    within: 60_000,
  });
  for (const one of receivers) {
    expect(one.faults).toEqual([]);
    for (let room = 0; room < ROOMS; room++) {
      const got = one.taken.filter((event) => event.room === `room-${room}`);
      let last = room - ROOMS;
      for (const { id } of got) {
        const number = Number(id.slice('EV_'.length));
        // A repeat, or the next one.
        expect(number).toBeLessThanOrEqual(last + ROOMS);
        last = Math.max(last, number);
      }
    }
    const deliveries = new Map<string, Set<string>>();
    for (const { id, delivery } of one.taken) deliveries.set(id, (deliveries.get(id) ?? new Set()).add(delivery));
    expect([...deliveries.values()].every((of) => of.size === 1)).toBe(true);
  }
});
