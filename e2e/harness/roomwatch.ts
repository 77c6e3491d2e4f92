import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Child } from './child.js';
import { API_KEY, API_SECRET } from './livekit.js';
import { type Message, Reader } from './reader.js';
import { freePort, until } from './wait.js';

/** Password of every user of a server under test: its one operator (an admin), or its users. */
export const PASSWORD = 'REDACT-ME-e2e-password';

/** The program under test: built by `setup.ts`, or named by `E2E_ROOMWATCH_BIN`. */
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
  /** A configuration file, for several users or projects. */
  config?: string;
  /** Name of its log in `.artifacts`. */
  name?: string;
};

/** The complete answer of one request. */
export type Answer = { status: number; headers: Headers; json: any; text: string };

/** The built server with its own data directory. Port and data stay the same over restarts. */
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
        // Tests sign in more often than users may, above all on a fast machine. Other tests check the limit.
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
  /** Returns its log since the last start. */
  output(): string {
    return this.child?.output() ?? '';
  }

  /** Starts it, waits until it is ready, and signs in once. */
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

  /** Kills it with SIGKILL. Every acknowledged event must be there afterwards. */
  async kill(): Promise<void> {
    await this.child?.stop('SIGKILL');
  }

  /** Ends it with SIGTERM, and returns its exit code. */
  async stop(): Promise<number | null> {
    return (await this.child?.stop('SIGTERM')) ?? null;
  }

  /** Ends the server and its readers, and deletes its data. */
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

  /** Makes one request: as the operator, or with `headers` as another caller. */
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

  /** Returns the answer of a GET. A status other than 200 is an error of the test. */
  async get(path: string): Promise<any> {
    const answer = await this.request('GET', path);
    if (answer.status !== 200) throw new Error(`GET ${path}: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  /** Opens a stream with a real EventSource, and waits until it is open. */
  async read(query = '', headers: Record<string, string> = this.operator): Promise<Reader> {
    const reader = new Reader(`${this.url}/api/events${query}`, headers);
    this.readers.add(reader);
    await reader.opened();
    return reader;
  }

  /** Returns the whole log, read page by page. */
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
