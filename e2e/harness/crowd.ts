import type { Cast, Person, Source } from './cast.js';
import { pause, until } from './wait.js';
import type { World } from './world.js';

/** A small seeded random generator (mulberry32). The same seed gives the same meeting, apart from network timing. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SOURCES: Source[] = ['microphone', 'camera', 'screen_share'];
type Present = { person: Person; tracks: Map<string, { source: Source; muted: boolean }> };

/** Participants that join, leave, publish and are muted at random. */
export class Crowd {
  readonly rooms = ['red', 'blue'];
  readonly log: string[] = [];
  private readonly present = new Map<string, Present>();

  constructor(
    private readonly world: World,
    private readonly cast: Cast,
    private readonly random: () => number,
    private readonly size: number,
  ) {
    cast.patience = 8_000;
  }

  private pick<T>(from: T[]): T {
    return from[Math.floor(this.random() * from.length)] as T;
  }

  /** Makes every participant join and publish a track. */
  async gather(): Promise<void> {
    for (let i = 0; i < this.size; i++) {
      await this.join(`person-${i}`);
      await this.publish(`person-${i}`);
    }
  }

  /** Performs one random action after another until `ms` have passed. A participant whose action fails, because a server is down, is forgotten. */
  async live(ms: number): Promise<void> {
    const end = Date.now() + ms;
    while (Date.now() < end) {
      const identity = `person-${Math.floor(this.random() * this.size)}`;
      await this.act(identity).catch((error) => {
        this.log.push(`${identity} failed: ${error.message}`);
        this.forget(identity);
      });
      await pause(100 + this.random() * 400);
    }
  }

  /** Waits until no client is connecting: each is connected, or has failed and is forgotten. */
  async settle(): Promise<void> {
    for (const [identity, { person }] of [...this.present]) {
      await until(`${identity} to be in or out`, () => person.settled()).catch(() => this.forget(identity));
      if (!(await person.connected().catch(() => false))) this.forget(identity);
    }
  }

  private async act(identity: string): Promise<void> {
    const someone = this.present.get(identity);
    const dice = this.random();
    if (!someone) return this.join(identity);
    // Its client is reconnecting. It will succeed, or report that it has failed.
    if (!(await someone.person.settled())) return;
    if (!(await someone.person.connected())) return this.forget(identity);
    const [sid] = someone.tracks.keys();
    if (dice < 0.2) return this.leave(identity);
    if (sid === undefined || (dice < 0.5 && someone.tracks.size < 2)) return this.publish(identity);
    if (dice < 0.7) {
      someone.tracks.delete(sid);
      this.log.push(`${identity} unpublishes ${sid}`);
      return someone.person.unpublish(sid);
    }
    const track = someone.tracks.get(sid);
    if (!track) return;
    this.log.push(`${identity} ${sid} ${track.muted ? 'unmuted' : 'muted'}`);
    await this.world.livekit.mute(someone.person.room, identity, sid, !track.muted);
    track.muted = !track.muted;
  }

  private async join(identity: string): Promise<void> {
    const room = this.pick(this.rooms);
    this.log.push(`${identity} joins ${room}`);
    this.present.set(identity, { person: await this.cast.join(room, identity), tracks: new Map() });
  }

  private async publish(identity: string): Promise<void> {
    const someone = this.present.get(identity);
    if (!someone) return;
    const taken = [...someone.tracks.values()].map((track) => track.source);
    const source = this.pick(SOURCES.filter((one) => !taken.includes(one)));
    this.log.push(`${identity} publishes ${source}`);
    someone.tracks.set(await someone.person.publish(source), { source, muted: false });
  }

  private async leave(identity: string): Promise<void> {
    this.log.push(`${identity} leaves`);
    const someone = this.present.get(identity);
    this.present.delete(identity);
    await someone?.person.leave();
  }

  /** Removes a participant without waiting for its client, which may not answer. */
  private forget(identity: string): void {
    this.log.push(`${identity} is forgotten`);
    const someone = this.present.get(identity);
    this.present.delete(identity);
    someone?.person.leave().catch(() => undefined);
  }
}
