import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.js';
import { API_KEY, API_SECRET } from './livekit.js';
import { type Message, Reader } from './reader.js';
import { freePort, until } from './wait.js';

/** The password of everybody who may sign in to a server of the tests: of its one operator (an admin), or of its users. */
export const PASSWORD = 'REDACT-ME-e2e-password';

/** The program under test: built by `setup.ts`, or another one by `E2E_ROOMWATCH_BIN`. */
export function roomwatchBinary(): string {
  return process.env.E2E_ROOMWATCH_BIN ?? join(import.meta.dirname, '..', '..', 'target', 'debug', 'roomwatch');
}

/** A `[[users]]` of a configuration file. */
export function userToml(name: string, role: 'viewer' | 'operator' | 'admin'): string {
  const hash = execFileSync(roomwatchBinary(), ['user', 'hash'], { input: PASSWORD, encoding: 'utf8' }).trim();
  return `[[users]]\nname = "${name}"\nrole = "${role}"\npassword_hash = "${hash}"\n`;
}

export type RoomwatchOptions = {
  livekitUrl?: string;
  port?: number;
  /** Further `ROOMWATCH_*` variables. */
  env?: Record<string, string>;
  /** A configuration file: users or several projects, instead of the one operator and the one project. */
  config?: string;
  /** Its log's name under `.artifacts`. */
  name?: string;
};

/** The answer of one request, read to its end. */
export type Answer = { status: number; headers: Headers; json: any; text: string };

/** The built server with a data directory of its own; port and data stay the same over restarts. */
export class Roomwatch {
  private child: Child | undefined;
  private cookie = '';
  private readonly readers = new Set<Reader>();

  private constructor(
    readonly port: number,
    readonly dataDir: string,
    private readonly env: Record<string, string>,
    private readonly name: string,
  ) {}

  static async start(options: RoomwatchOptions = {}): Promise<Roomwatch> {
    const port = options.port ?? (await freePort());
    const dir = mkdtempSync(join(tmpdir(), 'roomwatch-data-'));
    const { config } = options;
    const file = join(dir, 'roomwatch.toml');
    if (config !== undefined) writeFileSync(file, config);
    const server = new Roomwatch(
      port,
      dir,
      {
        ROOMWATCH_LISTEN: `127.0.0.1:${port}`,
        // A test signs in more often than people may, the more so on a fast machine; the limit has tests of its own.
        ROOMWATCH_MAX_LOGINS_PER_MINUTE: '0',
        ...(config === undefined
          ? {
              ROOMWATCH_PASSWORD: PASSWORD,
              LIVEKIT_URL: options.livekitUrl ?? 'http://127.0.0.1:1',
              LIVEKIT_API_KEY: API_KEY,
              LIVEKIT_API_SECRET: API_SECRET,
            }
          : { ROOMWATCH_CONFIG: file }),
        ...options.env,
      },
      options.name ?? 'roomwatch',
    );
    await server.up();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }
  get webhookUrl(): string {
    return `${this.url}/api/webhooks/livekit`;
  }
  get running(): boolean {
    return this.child !== undefined && !this.child.exited;
  }
  /** What it has logged since it was started the last time. */
  output(): string {
    return this.child?.output() ?? '';
  }

  /** Starts it (again), waits until it is ready, and signs in once. */
  async up(): Promise<void> {
    const child = new Child(this.name, roomwatchBinary(), ['serve', '--data-dir', this.dataDir], {
      RUST_BACKTRACE: '1',
      ...this.env,
    });
    this.child = child;
    await until('roomwatch to be ready', async () => {
      if (child.exited) throw new Error(`roomwatch ended: ${child.output().slice(-3000)}`);
      return (await fetch(`${this.url}/readyz`)).ok;
    });
    // With users of a configuration file a test signs in as one of them.
    if (!this.cookie && this.env.ROOMWATCH_PASSWORD) await this.login();
  }

  /** SIGKILL: what was acknowledged must be there afterwards. */
  async kill(): Promise<void> {
    await this.child?.stop('SIGKILL');
  }

  /** SIGTERM, and its exit code. */
  async stop(): Promise<number | null> {
    return (await this.child?.stop('SIGTERM')) ?? null;
  }

  /** Ends everything, its readers and its data too. */
  async close(): Promise<void> {
    for (const reader of this.readers) reader.close();
    await this.kill();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  async login({ user, password = PASSWORD }: { user?: string; password?: string } = {}): Promise<void> {
    const answer = await this.request('POST', '/api/login', { user, password }, {});
    if (answer.status !== 200) throw new Error(`login: ${answer.status} ${answer.text}`);
    this.cookie = (answer.headers.getSetCookie()[0] ?? '').split(';')[0] ?? '';
  }

  /** The headers of the signed-in operator. */
  get operator(): Record<string, string> {
    return { cookie: this.cookie };
  }

  /** One request: as the operator, or with `headers` as somebody else. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = this.operator,
  ): Promise<Answer> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: /^[[{]/.test(text) ? JSON.parse(text) : undefined,
    };
  }

  /** What a GET answers; anything but 200 is an error of the test. */
  async get(path: string): Promise<any> {
    const answer = await this.request('GET', path);
    if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  /** A stream over a real EventSource, open when this returns. */
  async read(query = '', headers: Record<string, string> = this.operator): Promise<Reader> {
    const reader = new Reader(`${this.url}/api/events${query}`, headers);
    this.readers.add(reader);
    await reader.opened();
    return reader;
  }

  /** The whole log, page by page. */
  async log(query = ''): Promise<Message[]> {
    const messages: Message[] = [];
    let after = 'start';
    for (;;) {
      const page = await fetch(`${this.url}/api/events?after=${after}&limit=1000${query}`, {
        headers: { accept: 'application/json', ...this.operator },
      }).then((response) => response.json() as any);
      if (!page.events) throw new Error(`no page of the log: ${JSON.stringify(page)}`);
      messages.push(...page.events);
      if (!page.next) return messages;
      after = page.next;
    }
  }
}
