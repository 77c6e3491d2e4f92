import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Change, Connected, Message, Participant, ResetReason, Room } from '../src/index';
import { atEnd } from './cleanup';

export function room(name: string, more: Partial<Room> = {}): Room {
  return {
    project: 'default',
    sid: `RM_${name}`,
    name,
    startedAt: 1_787_486_400_000,
    metadata: '',
    participantCount: 0,
    agentCount: 0,
    callCount: 0,
    publisherCount: 0,
    trackCounts: { audio: 0, video: 0, screen: 0 },
    recording: false,
    stale: false,
    source: 'webhook',
    lastEventAt: 1_787_486_400_000,
    ...more,
  };
}

export function person(of: Room, identity: string, more: Partial<Participant> = {}): Participant {
  return {
    project: of.project,
    room: of.name,
    roomSid: of.sid,
    sid: `PA_${of.name}_${identity}`,
    identity,
    name: identity,
    kind: 'standard',
    state: 'active',
    hidden: false,
    watcher: false,
    joinedAt: 1_787_486_400_000,
    metadata: '',
    attributes: {},
    permission: null,
    region: null,
    disconnectReason: null,
    tracks: [],
    ...more,
  };
}

export const set = (value: Room | Participant): Change =>
  'identity' in value
    ? {
        op: 'set',
        kind: 'participant',
        id: value.sid,
        project: value.project,
        room: value.room,
        roomSid: value.roomSid,
        value,
      }
    : { op: 'set', kind: 'room', id: value.sid, project: value.project, room: value.name, roomSid: value.sid, value };

export const patch = (of: Room | Participant, value: Partial<Room> | Partial<Participant>): Change =>
  ({ ...set(of), op: 'patch', value }) as Change;

export const gone = (of: Room | Participant): Change => {
  return { ...set(of), op: 'delete', value: null } as Change;
};

export interface Stream {
  after: string | null;
  lastEventId: string | null;
  query: URLSearchParams;
  end(): void;
  raw(text: string): void;
}

type Answer = { status: number; body?: unknown; headers?: Record<string, string> };

/**
 * Small server with the API of Roomwatch over real HTTP: a log, a state folded from its changes, the stream, the
 * snapshots. It has no LiveKit: the test publishes the events.
 */
export class TestServer {
  epoch = '7f3a9c21';
  log: Message[] = [];
  /** Rows before this seq are removed by the retention. */
  first = 1;
  readonly rooms = new Map<string, Room>();
  readonly people = new Map<string, Participant>();
  readonly streams = new Set<Stream>();
  /** All streams, open and closed. */
  readonly opened: Stream[] = [];
  /** All requests but streams, as `METHOD /path`. */
  readonly requests: { line: string; body: unknown; headers: IncomingMessage['headers'] }[] = [];
  /** Answer that refuses streams, or null. */
  refuse: Answer | null = null;
  me: Answer = { status: 200, body: this.meOf(1) };
  /** Answers that replace a route, by `METHOD /path`. */
  readonly answers = new Map<string, () => Answer | Promise<Answer>>();
  retry = 30;
  url = '';
  private held: Promise<void> = Promise.resolve();
  private port: number | undefined;
  private http = createServer((request, response) => void this.handle(request, response));

  static async start(): Promise<TestServer> {
    const server = new TestServer();
    await server.listen();
    atEnd(() => server.close());
    return server;
  }

  meOf(open: number, max = 5) {
    return {
      user: 'ada',
      kind: 'session',
      role: 'operator',
      projects: ['default'],
      grants: null,
      streams: { open, max },
      expiresAt: null,
      publicUrl: null,
      demo: false,
      version: '0.1.0',
    };
  }

  async listen(): Promise<void> {
    this.port = await listenOn(this.http, this.port);
    this.url = `http://127.0.0.1:${this.port}`;
  }

  /** Stops like a killed process. `listen` starts it again on the same port. */
  async close(): Promise<void> {
    if (!this.http.listening) return;
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
    this.http = createServer((request, response) => void this.handle(request, response));
  }

  cursor(seq = this.log.length): string {
    return `${this.epoch}-${seq}`;
  }

  /** Appends an event to the log, applies it to the state, and sends it. */
  publish(type: string, of: Room | null, ...changes: Change[]): Message {
    const message: Message = {
      type,
      data: of ? { event: type, room: { name: of.name, sid: of.sid } } : { event: type },
      timestamp: 1_787_486_400_000 + this.log.length + 1,
      cursor: this.cursor(this.log.length + 1),
      project: of?.project ?? 'default',
      room: of?.name ?? null,
      source: of ? 'webhook' : 'roomwatch',
      changes,
    };
    this.log.push(message);
    for (const change of changes) this.fold(change);
    for (const stream of this.streams) stream.raw(frame(message));
    return message;
  }

  /** Restores a backup: another log, in which no old cursor is valid. */
  restore(): void {
    this.epoch = '00c0ffee';
    this.log = [];
  }

  /**
   * Sends a ping after an event that no filter lets through: it moves the cursor to the new head.
   */
  ping(more: object = {}): void {
    this.log.length++;
    for (const stream of this.streams) {
      stream.raw(
        `event: ping\nid: ${this.cursor()}\ndata: ${JSON.stringify({ cursor: this.cursor(), at: 1, ...more })}\n\n`,
      );
    }
  }

  /** Accepts streams and sends nothing yet. */
  hold(): void {
    this.held = new Promise((resolve) => {
      this.letGo = resolve;
    });
  }
  letGo = () => {};

  cut(): void {
    for (const stream of this.streams) stream.end();
  }

  count(line: string): number {
    return this.requests.filter((request) => request.line === line).length;
  }

  private fold({ op, kind, id, value }: Change): void {
    const map = (kind === 'room' ? this.rooms : this.people) as Map<string, unknown>;
    if (op === 'delete') map.delete(id);
    else map.set(id, { ...(map.get(id) as object), ...value });
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://test');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    if (url.pathname === '/api/events' && !request.headers.accept?.includes('application/json')) {
      await this.held;
      this.stream(request, response, url);
      return;
    }
    const line = `${request.method} ${url.pathname}`;
    this.requests.push({ line, body: text && JSON.parse(text), headers: request.headers });
    const { status, body, headers } = await (this.answers.get(line)?.() ?? this.route(line, url));
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(body === undefined ? '' : JSON.stringify(body));
  }

  private route(line: string, url: URL): Answer {
    const cursor = this.cursor();
    if (line === 'GET /api/me') return this.me;
    if (line === 'GET /api/rooms') {
      const only = url.searchParams.getAll('room');
      const rooms = [...this.rooms.values()].filter(({ name }) => only.length === 0 || only.includes(name));
      return { status: 200, body: { cursor, rooms } };
    }
    if (line === 'GET /api/events') {
      const limit = Number(url.searchParams.get('limit') ?? 100);
      const events = this.log.slice(-limit);
      return {
        status: 200,
        body: {
          epoch: this.epoch,
          cursor,
          first: this.cursor(this.first),
          last: cursor,
          prev: null,
          next: null,
          events,
        },
      };
    }
    const [, name = '', rest] = /^GET \/api\/rooms\/([^/]+)(\/participants)?$/.exec(line) ?? [];
    if (name) {
      const found = [...this.rooms.values()].find((one) => one.name === decodeURIComponent(name));
      if (!found) return fail(404, 'room_not_live');
      const participants = [...this.people.values()].filter((one) => one.roomSid === found.sid);
      return {
        status: 200,
        body: rest
          ? { cursor, roomSid: found.sid, participants }
          : { cursor, room: found, participants, egress: [], ingress: [] },
      };
    }
    return { status: 204 };
  }

  private resetOf(epoch: string | undefined, seq: number): ResetReason | undefined {
    if (epoch !== this.epoch) return 'unknown_epoch';
    if (seq > this.log.length) return 'ahead';
    return seq + 1 < this.first ? 'expired' : undefined;
  }

  private stream(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const after = url.searchParams.get('after');
    const lastEventId = (request.headers['last-event-id'] as string | undefined) ?? null;
    const stream: Stream = {
      after,
      lastEventId,
      query: url.searchParams,
      end: () => response.destroy(),
      raw: (text) => response.write(text),
    };
    this.opened.push(stream);
    if (this.refuse) {
      response.writeHead(this.refuse.status, this.refuse.headers);
      response.end(JSON.stringify(this.refuse.body));
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' });
    response.write(`retry: ${this.retry}\n`);
    const given = lastEventId || after;
    const [epoch, seq] = given ? given.split('-') : [];
    const reset = given === null ? undefined : this.resetOf(epoch, Number(seq));
    const from = given && !reset ? Number(seq) : this.log.length;
    response.write(frame({ type: 'connected', cursor: this.cursor(from), resumed: Boolean(given && !reset), reset }));
    // Filtered events are holes of the array, which `forEach` skips.
    this.log.slice(from).forEach((message) => void response.write(frame(message)));
    this.streams.add(stream);
    response.on('close', () => this.streams.delete(stream));
  }
}

export function fail(status: number, code: string, headers?: Record<string, string>): Answer {
  return { status, body: { error: { code, message: `It is ${code}.`, docs: `/docs/errors#${code}` } }, headers };
}

let nextPort = 18_000 + 1_000 * Number(process.env.VITEST_POOL_ID);

/**
 * Listens on a port of this worker, below the range of the system, so that the port is free when a stopped server starts
 * again. Without a port, it takes the next free one. Returns the port.
 */
export async function listenOn(http: Server, port?: number): Promise<number> {
  const chosen = port ?? nextPort++;
  http.listen(chosen, '127.0.0.1');
  try {
    await once(http, 'listening');
    return chosen;
  } catch (error) {
    if (port !== undefined) throw error;
    return listenOn(http);
  }
}

const frame = (event: Message | Connected) => `id: ${event.cursor}\ndata: ${JSON.stringify(event)}\n\n`;
