import { join } from 'node:path';
import type { VideoGrant } from 'livekit-server-sdk';
import { Child } from './child.js';
import { type Identity, type LiveKit, mint } from './livekit.js';
import { PATIENCE_MS, until } from './wait.js';

export type Source = 'camera' | 'microphone' | 'screen_share';
type Reply = { ready?: true; call?: number; value?: unknown; error?: string };

/** Real participants without a browser, in a separate process (`cast.mjs`). */
export class Cast {
  private readonly child: Child;
  private readonly waiting = new Map<number, { resolve: (value: any) => void; reject: (error: Error) => void }>();
  private calls = 0;
  private people = 0;

  /** Maximum time of one command. It is shorter if a test stops servers on purpose. */
  patience = PATIENCE_MS;

  private constructor(
    readonly livekit: LiveKit,
    name: string,
  ) {
    this.child = new Child(name, process.execPath, [join(import.meta.dirname, 'cast.mjs')], {}, 'ipc');
    this.child.process.on('message', (reply: Reply) => {
      const waiter = this.waiting.get(reply.call ?? -1);
      if (!waiter) return;
      this.waiting.delete(reply.call ?? -1);
      if (reply.error === undefined) waiter.resolve(reply.value);
      else waiter.reject(new Error(reply.error));
    });
    this.child.process.on('exit', () => {
      for (const { reject } of this.waiting.values()) reject(new Error("the participants' process has ended"));
      this.waiting.clear();
    });
  }

  static async start(livekit: LiveKit, name = 'cast'): Promise<Cast> {
    const cast = new Cast(livekit, name);
    let ready = false;
    cast.child.process.once('message', () => {
      ready = true;
    });
    await until("the participants' process", () => ready);
    return cast;
  }

  call(command: string, args: object, within = this.patience): Promise<any> {
    const call = ++this.calls;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(call);
        reject(new Error(`${command} ${JSON.stringify(args).slice(0, 80)} took over ${within} ms`));
      }, within);
      const done =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          then(value);
        };
      this.waiting.set(call, { resolve: done(resolve), reject: done(reject) });
      this.child.process.send({ call, command, ...args });
    });
  }

  /** Joins with the grants of an ordinary participant and `grant`. `kind` is that of the token of an agent or a SIP bridge. */
  async join(
    room: string,
    identity: string,
    { grant = {}, ...extra }: Identity & { grant?: VideoGrant } = {},
  ): Promise<Person> {
    const id = `${identity}#${++this.people}`;
    const token = await mint({ roomJoin: true, room, ...grant }, identity, extra);
    const { sid } = await this.call('join', { id, url: this.livekit.wsUrl, token });
    return new Person(this, id, room, identity, sid);
  }

  /** Kills all participants with SIGKILL: their sockets close without a leave. */
  async crash(): Promise<void> {
    await this.child.stop('SIGKILL');
  }

  async stop(): Promise<void> {
    if (this.child.exited) return;
    await this.call('end', {}, 10_000).catch(() => undefined);
    await this.child.stop('SIGTERM', 5_000);
  }
}

/** One participant; `sid` is LiveKit's. */
export class Person {
  constructor(
    private readonly cast: Cast,
    private readonly id: string,
    readonly room: string,
    readonly identity: string,
    readonly sid: string,
  ) {}

  /** Publishes synthetic media and returns the track's sid. */
  async publish(source: Source, name?: string): Promise<string> {
    return (await this.cast.call('publish', { id: this.id, source, name })).sid;
  }
  unpublish(sid: string): Promise<void> {
    return this.cast.call('unpublish', { id: this.id, sid });
  }
  attributes(attributes: Record<string, string>): Promise<void> {
    return this.cast.call('attributes', { id: this.id, attributes });
  }
  /** Returns the identities of the other participants that its client lists. */
  others(): Promise<string[]> {
    return this.cast.call('others', { id: this.id });
  }
  connected(): Promise<boolean> {
    return this.cast.call('connected', { id: this.id });
  }
  /** Returns true if its client is neither connecting nor reconnecting. */
  settled(): Promise<boolean> {
    return this.cast.call('settled', { id: this.id });
  }
  /** Returns the data messages that it has received, as text. */
  data(): Promise<string[]> {
    return this.cast.call('data', { id: this.id });
  }
  leave(): Promise<void> {
    return this.cast.call('leave', { id: this.id });
  }
}
