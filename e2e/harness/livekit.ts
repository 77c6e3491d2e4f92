import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { AccessToken, type VideoGrant } from 'livekit-server-sdk';
import { ARTIFACTS, Child } from './child.js';
import { freePort, freeUdpPort, until } from './wait.js';

export const API_KEY = 'APIe2eroomwatch';
export const API_SECRET = 'REDACT-ME-e2e-secret-of-more-than-32-bytes';

/** Finds `LIVEKIT_SERVER_BIN`, or `livekit-server` on the PATH, or the one that `go install` put into Go's bin folder. */
export function livekitBinary(): string {
  const given = process.env.LIVEKIT_SERVER_BIN;
  if (given) return given;
  const places = (process.env.PATH ?? '').split(delimiter).map((dir) => join(dir, 'livekit-server'));
  try {
    const gopath = execFileSync('go', ['env', 'GOPATH'], { encoding: 'utf8' }).trim();
    places.push(join(gopath, 'bin', 'livekit-server'), join(gopath, 'bin', 'server'));
  } catch {
    // Go is not installed. The PATH may still have livekit-server.
  }
  const found = places.find((path) => existsSync(path));
  if (!found) throw new Error('no livekit-server: run e2e/install-livekit, or set LIVEKIT_SERVER_BIN');
  return found;
}

export type LiveKitOptions = {
  /** URLs for its webhooks. Without any it posts nothing. */
  webhooks?: string[];
  /** Further lines of livekit.yaml, top level. */
  yaml?: string;
  name?: string;
};

/** The answer of one Twirp call: status and bytes, as a client gets them. */
export type TwirpAnswer = { status: number; text: string; json: any };

/** A real livekit-server on its own ports, which stay the same over restarts. It has no Redis, so a restart loses every room. */
export class LiveKit {
  private child: Child | undefined;
  private constructor(
    readonly port: number,
    private readonly config: string,
    private readonly name: string,
  ) {}

  static async start(options: LiveKitOptions = {}): Promise<LiveKit> {
    const [port, tcp, udp] = [await freePort(), await freePort(), await freeUdpPort()];
    mkdirSync(ARTIFACTS, { recursive: true });
    const name = options.name ?? 'livekit';
    const config = join(ARTIFACTS, `${name}-${port}.yaml`);
    const hooks = options.webhooks?.length
      ? `webhook:\n  api_key: ${API_KEY}\n  urls:\n${options.webhooks.map((url) => `    - ${url}\n`).join('')}`
      : '';
    writeFileSync(
      config,
      `port: ${port}
bind_addresses: ["127.0.0.1"]
rtc:
  tcp_port: ${tcp}
  udp_port: ${udp}
  use_external_ip: false
  node_ip: 127.0.0.1
  enable_loopback_candidate: true
  interfaces:
    includes: [lo]
keys:
  ${API_KEY}: ${API_SECRET}
logging:
  level: info
${hooks}${options.yaml ?? ''}`,
    );
    const server = new LiveKit(port, config, name);
    await server.up();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }
  get wsUrl(): string {
    return `ws://127.0.0.1:${this.port}`;
  }
  get running(): boolean {
    return this.child !== undefined && !this.child.exited;
  }

  /** Starts it, and waits until it answers. */
  async up(): Promise<void> {
    this.child = new Child(this.name, livekitBinary(), ['--config', this.config]);
    const child = this.child;
    await until('livekit-server to answer', async () => {
      if (child.exited) throw new Error(`livekit-server ended: ${child.output().slice(-2000)}`);
      return (await fetch(this.url)).ok;
    });
  }

  /** Kills it with SIGKILL: without last webhooks, and without a leave to participants. */
  async kill(): Promise<void> {
    await this.child?.stop('SIGKILL');
  }

  /** A second SIGTERM makes it leave although participants are connected. */
  async stop(): Promise<void> {
    this.child?.signal('SIGTERM');
    await this.child?.stop('SIGTERM', 5_000);
  }

  /** Makes one Twirp call with exactly these grants, in JSON. */
  async twirp(method: string, body: object, grant: VideoGrant, token?: string): Promise<TwirpAnswer> {
    const response = await fetch(`${this.url}/twirp/livekit.${method}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token ?? (await mint(grant))}` },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, text, json: text.startsWith('{') ? JSON.parse(text) : undefined };
  }

  /** As `twirp`, but an answer other than 200 is an error of the test. */
  private async call(method: string, body: object, grant: VideoGrant): Promise<any> {
    const answer = await this.twirp(method, body, grant);
    if (answer.status !== 200) throw new Error(`${method}: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  createRoom(name: string, options: object = {}) {
    return this.call('RoomService/CreateRoom', { name, ...options }, { roomCreate: true });
  }
  deleteRoom(room: string) {
    return this.call('RoomService/DeleteRoom', { room }, { roomCreate: true });
  }
  async listRooms(): Promise<any[]> {
    return (await this.call('RoomService/ListRooms', {}, { roomList: true })).rooms;
  }
  async listParticipants(room: string): Promise<any[]> {
    return (await this.call('RoomService/ListParticipants', { room }, { roomAdmin: true, room })).participants;
  }
  mute(room: string, identity: string, trackSid: string, muted: boolean) {
    return this.call(
      'RoomService/MutePublishedTrack',
      { room, identity, track_sid: trackSid, muted },
      { roomAdmin: true, room },
    );
  }
  remove(room: string, identity: string) {
    return this.call('RoomService/RemoveParticipant', { room, identity }, { roomAdmin: true, room });
  }
}

/** Claims of a token other than the grants. `kind` makes a participant an agent, a recorder or a telephone. */
export type Identity = {
  name?: string;
  metadata?: string;
  attributes?: Record<string, string>;
  kind?: 'standard' | 'agent' | 'egress' | 'ingress' | 'sip';
  ttl?: string | number;
};

/** Makes a LiveKit access token with the key that every server of the tests has. */
export async function mint(grant: VideoGrant, identity = '', { kind, ...options }: Identity = {}): Promise<string> {
  const token = new AccessToken(API_KEY, API_SECRET, { identity, ttl: '10m', ...options });
  token.addGrant(grant);
  if (kind) token.kind = kind;
  return token.toJwt();
}
