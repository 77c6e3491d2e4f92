import { hashKey, notifyManager, type Query, type QueryClient, type QueryKey } from '@tanstack/react-query';
import {
  applyToParticipants,
  applyToRoom,
  applyToRooms,
  applyToSession,
  type ParticipantsData,
  type RoomData,
  type RoomScope,
  type RoomsData,
  UNKNOWN,
} from './core/apply';
import type { Connection, ConnectionStatus } from './core/connection';
import { covers } from './core/cursor';
import { isConnected } from './core/line';
import type { Connected, Cursor, Message, Project, SessionDetail } from './core/wire';

/** The first event of a burst is written at once, the rest in batches: what a list of thousands costs is counted in batches. */
const FLUSH_MS = 100;
/** What has no changes of its own (sessions past and present) is fetched again at most this often. */
const SOON_MS = 5_000;
/** How long the event of a command that succeeded may take before the truth is fetched. */
const SETTLE_MS_MAX = 5_000;
/** Down together, polling apart: thousands of pages shall not ask in the same moment. */
const POLL_SPREAD_MS = 2_000;
/** A snapshot that the events do not fit to is fetched again at once, so often. */
const ATTEMPTS_MAX = 3;
/** Events kept for a snapshot that is under way. Beyond it the snapshot is fetched once more. */
const RECENT_MAX = 20_000;

/** What a query holds, so that events find it. In the query's `meta`: an app's own queries have none, and are left alone. */
export type Follows = { scope: string } & (
  | { kind: 'rooms'; project?: string }
  | { kind: 'room' | 'participants'; name: string; project?: string }
  | { kind: 'session'; sid: string }
  | { kind: 'sessions' | 'projects' | 'me' }
);

/**
 * What the user has asked for and LiveKit has not yet done, drawn over the data. Returns the same data when there is
 * nothing (more) to draw.
 */
export type Touch = (follows: Follows, data: unknown) => unknown;

interface Wish {
  touch: Touch;
  /** Hashes of the queries whose truth has it already: from then on the truth speaks. */
  settled: Set<string>;
  timer?: ReturnType<typeof setTimeout>;
}

export interface Optimism {
  /** The command failed: as if it had never been. */
  rollback(): void;
  /** The command succeeded: its event settles it, and if none comes in time, the truth is fetched. */
  accepted(): void;
}

export interface Cache {
  /** Follows the connection until the returned function is called. */
  start(): () => void;
  /** Fetches a snapshot and brings it up to the events that came meanwhile. */
  load<T extends { cursor: Cursor | null }>(follows: Follows, key: QueryKey, fetch: () => Promise<T>): Promise<T>;
  /** Draws a wish over every query it concerns. */
  wish(touch: Touch): Optimism;
}

/** True while the stream gives nothing and nobody has to sign in first: then the queries poll. */
export const isDown = (status: ConnectionStatus) => status === 'polling' || status === 'stale' || status === 'too_many';

export function followsOf(query: Query): Follows | undefined {
  return query.meta?.roomwatch as Follows | undefined;
}

/** Writes the stream into the query cache, which is the client's only state. */
export function createCache(connection: Connection, queryClient: QueryClient, scope: string): Cache {
  let queue: Message[] = [];
  let flushing: ReturnType<typeof setTimeout> | undefined;
  let flushedAt = 0;
  /** From here on every event has come to us; a snapshot from before has a hole behind it. */
  let from: Cursor | null = null;
  let recording = 0;
  let recent: Message[] = [];
  const wishes = new Set<Wish>();
  /** What the server said, where a wish is drawn over it. By query hash. */
  const truths = new Map<string, unknown>();
  const soon = new Map<string, ReturnType<typeof setTimeout>>();

  const ours = () =>
    queryClient
      .getQueryCache()
      .getAll()
      .flatMap((query) => {
        const follows = followsOf(query);
        return follows?.scope === scope ? [{ query, follows }] : [];
      });

  const invalidate = (query: Query) => {
    void queryClient.invalidateQueries({ queryKey: query.queryKey, exact: true });
  };

  const invalidateSoon = (query: Query) => {
    if (soon.has(query.queryHash)) return;
    const timer = setTimeout(() => {
      soon.delete(query.queryHash);
      invalidate(query);
    }, SOON_MS);
    soon.set(query.queryHash, timer);
  };

  /** The truth with the wishes drawn over it; remembers the truth for as long as they differ. */
  const draw = (hash: string, follows: Follows, truth: unknown): unknown => {
    let data = truth;
    for (const wish of wishes) {
      if (wish.settled.has(hash)) continue;
      const next = wish.touch(follows, data);
      if (next === data) wish.settled.add(hash);
      data = next;
    }
    if (data === truth) truths.delete(hash);
    else truths.set(hash, truth);
    return data;
  };

  const truthOf = (query: Query) => truths.get(query.queryHash) ?? query.state.data;

  const put = (query: Query, follows: Follows, truth: unknown) => {
    const data = draw(query.queryHash, follows, truth);
    if (data !== query.state.data) queryClient.setQueryData(query.queryKey, data);
  };

  const redraw = () =>
    notifyManager.batch(() => {
      for (const { query, follows } of ours()) {
        if (query.state.data !== undefined) put(query, follows, truthOf(query));
      }
    });

  /** A name can have two live sessions; when the newest ends, the other is the room. The list of rooms knows, if there is one. */
  const withOthers = (follows: RoomScope): RoomScope => ({
    ...follows,
    another(sid) {
      const lists = ours().flatMap(({ query, follows: { kind } }) => {
        const data = kind === 'rooms' ? (truthOf(query) as RoomsData | undefined) : undefined;
        return data ?? [];
      });
      return (
        lists.length === 0 ||
        lists.some(({ rooms }) => rooms.some((one) => one.name === follows.name && one.sid !== sid))
      );
    },
  });

  const apply = (follows: Follows, data: unknown, batch: Batch): unknown => {
    switch (follows.kind) {
      case 'rooms':
        return applyToRooms(data as RoomsData, batch.all, follows.project);
      case 'room':
        return applyToRoom(data as RoomData, batch.of(follows.name), withOthers(follows));
      case 'participants':
        return applyToParticipants(data as ParticipantsData, batch.of(follows.name), withOthers(follows));
      case 'session': {
        const detail = data as SessionDetail;
        return applyToSession(detail, batch.of(detail.session.room));
      }
      case 'projects':
        return applyToProjects(data as { projects: Project[] }, batch.all);
      case 'sessions':
      case 'me':
        return data;
    }
  };

  /** Under a wish one message after the other: the first truth that has it settles it, also if the next event undoes it. */
  const steps = (query: Query, follows: Follows, batch: Batch): Batch[] => {
    if (!truths.has(query.queryHash) || !('name' in follows)) return [batch];
    return batch.of(follows.name).map((message) => new Batch([message]));
  };

  const flush = () => {
    clearTimeout(flushing);
    flushing = undefined;
    if (queue.length === 0) return;
    flushedAt = Date.now();
    const batch = new Batch(queue);
    queue = [];
    notifyManager.batch(() => {
      for (const { query, follows } of ours()) {
        // An answer is on its way, or will be asked for when somebody looks: a write now would call it settled.
        if (query.state.data === undefined || query.state.isInvalidated) continue;
        for (const step of steps(query, follows, batch)) {
          const truth = truthOf(query);
          const next = apply(follows, truth, step);
          if (next === UNKNOWN) {
            invalidate(query);
            break;
          }
          if (next !== truth) put(query, follows, next);
        }
        if (follows.kind === 'session' && batch.of((query.state.data as SessionDetail).session.room).length > 0)
          invalidateSoon(query);
        if (follows.kind === 'sessions' && batch.hasRoomChange()) invalidateSoon(query);
      }
    });
  };

  const onConnected = ({ cursor, resumed, reset }: Connected) => {
    flush();
    if (resumed) return;
    from = cursor;
    for (const { query, follows } of ours()) {
      const data = truthOf(query) as { cursor?: Cursor | null } | undefined;
      if (data === undefined) continue;
      const knows = 'cursor' in data ? data.cursor != null && covers(data.cursor, cursor) : !reset;
      if (!knows && follows.kind !== 'projects') invalidate(query);
    }
  };

  const onMessage = (message: Message) => {
    queue.push(message);
    if (recording > 0 && recent.length <= RECENT_MAX) recent.push(message);
    flushing ??= setTimeout(flush, Math.max(0, flushedAt + FLUSH_MS - Date.now()));
  };

  return {
    start() {
      let before = connection.getState().status;
      let polling: ReturnType<typeof setTimeout> | undefined;
      const stopEvents = connection.onEvent((event) => (isConnected(event) ? onConnected(event) : onMessage(event)));
      const stopState = connection.onState(() => {
        const { status } = connection.getState();
        if (status === before) return;
        if (isDown(status) && !isDown(before)) {
          polling = setTimeout(() => {
            for (const { query } of ours()) if (query.isActive()) void query.fetch().catch(() => {});
          }, Math.random() * POLL_SPREAD_MS);
        } else if (!isDown(status)) clearTimeout(polling);
        // Whoever has signed in now may see other things.
        if (before === 'signed_out') for (const { query } of ours()) invalidate(query);
        before = status;
      });
      return () => {
        stopEvents();
        stopState();
        clearTimeout(polling);
        clearTimeout(flushing);
        flushing = undefined;
        for (const timer of soon.values()) clearTimeout(timer);
        soon.clear();
      };
    },

    async load(follows, key, fetch) {
      for (let attempt = 1; ; attempt++) {
        recording++;
        try {
          const answer = await fetch();
          const hole = from !== null && answer.cursor !== null && !covers(answer.cursor, from);
          const data = hole || recent.length > RECENT_MAX ? UNKNOWN : apply(follows, answer, new Batch(recent));
          if (data === UNKNOWN && attempt < ATTEMPTS_MAX) continue;
          const hash = hashKey(key);
          if (data === UNKNOWN) {
            // What comes now may not fit to it: it is shown, and asked for again.
            const query = queryClient.getQueryCache().get(hash);
            if (query) invalidateSoon(query);
          }
          return draw(hash, follows, data === UNKNOWN ? answer : data) as typeof answer;
        } finally {
          if (--recording === 0) recent = [];
        }
      }
    },

    wish(touch) {
      const wish: Wish = { touch, settled: new Set() };
      wishes.add(wish);
      redraw();
      const drop = () => {
        clearTimeout(wish.timer);
        wishes.delete(wish);
      };
      return {
        rollback() {
          drop();
          redraw();
        },
        accepted() {
          const live = !isDown(connection.getState().status);
          wish.timer = setTimeout(
            () => {
              const open = ours().filter(
                ({ query }) => truths.has(query.queryHash) && !wish.settled.has(query.queryHash),
              );
              drop();
              redraw();
              for (const { query } of open) invalidate(query);
            },
            live ? SETTLE_MS_MAX : 0,
          );
        },
      };
    },
  };
}

/** Messages, and those of one room without looking through all of them for each query. */
class Batch {
  private byRoom: Map<string, Message[]> | undefined;

  constructor(readonly all: readonly Message[]) {}

  of(room: string): readonly Message[] {
    if (!this.byRoom) {
      this.byRoom = new Map();
      for (const message of this.all) {
        if (message.room === null) continue;
        const list = this.byRoom.get(message.room);
        if (list) list.push(message);
        else this.byRoom.set(message.room, [message]);
      }
    }
    return this.byRoom.get(room) ?? [];
  }

  hasRoomChange(): boolean {
    return this.all.some(({ changes }) => changes?.some(({ kind, op }) => kind === 'room' && op !== 'patch'));
  }
}

function applyToProjects(data: { projects: Project[] }, messages: readonly Message[]): { projects: Project[] } {
  const last = new Map<string, Message>();
  for (const message of messages) if (message.source === 'webhook') last.set(message.project, message);
  if (!data.projects.some(({ name, lastWebhookAt }) => (last.get(name)?.timestamp ?? 0) > (lastWebhookAt ?? 0)))
    return data;
  return {
    projects: data.projects.map((project) => {
      const message = last.get(project.name);
      if (!message || message.timestamp <= (project.lastWebhookAt ?? 0)) return project;
      return { ...project, lastWebhookAt: message.timestamp, lastWebhookEvent: message.type };
    }),
  };
}
