import type { RoomwatchClient } from './client';
import { isAfter } from './cursor';
import type { RoomwatchError } from './error';
import { ANSWER_MS_MAX, BREAK_MS, type FrameKind, type Line, type LineState, opening, openLine } from './line';
import { isVisible, watchPage } from './page';
import { type ConnectionState, connecting, type Evidence, isBroken, judge } from './status';
import { joinTabs, type Tabs } from './tabs';
import type { Connected, ConnectionEvent, Cursor, Ping } from './wire';

/** Minimum time between two notices of a moved cursor. A changed status is reported at once. */
const NOTIFY_MS = 250;

export interface Connection {
  /** Returns the same object until something changes. */
  getState(): ConnectionState;
  /** Calls the listener after each change of state. Returns a function that stops. */
  onState(listener: () => void): () => void;
  /** Calls the listener for each event, once, in log order, and for each `connected`. Returns a function that stops. */
  onEvent(listener: (event: ConnectionEvent) => void): () => void;
  /** Opens the stream, or shares the stream of another tab. */
  start(): void;
  /** Closes everything. `start` continues after the last cursor. */
  stop(): void;
  /** Tries again now. Needed after `signed_out` and `too_many`. */
  retry(): void;
  /** Takes the result of a request, which tells "polling" from "stale". Pass it to the client as `onSettled`. */
  settled(error: RoomwatchError | null): void;
}

export interface ConnectionOptions {
  client: RoomwatchClient;
  /** Rooms of the stream. Default: every room that the caller may see. */
  rooms?: string[];
  /** Default: the platform's own. Node before 24 has none. */
  EventSource?: typeof EventSource;
}

/** Message of the leading tab to the others. `prev` is its cursor before the frame, so that a hole is noticed. */
type TabMessage =
  | { frame: [FrameKind, string]; prev: Cursor | null }
  | { line: LineState; cursor: Cursor | null }
  | { retry: true };

/** Opens the stream of one scope. All tabs of a browser with the same scope share it. */
export function createConnection(options: ConnectionOptions): Connection {
  const { client } = options;
  const stateListeners = new Set<() => void>();
  const eventListeners = new Set<(event: ConnectionEvent) => void>();
  let state = connecting;
  const evidence: Evidence = { line: opening, cursor: null, reachable: true, heardAt: Date.now(), freshAt: null };
  let line: Line | null = null;
  let tabs: Tabs<TabMessage> | null = null;
  /** Rises with each start and stop, so that a late answer is dropped. */
  let run = 0;
  /** Unix milliseconds at which this tab closed its line. The next line then asks how far behind it is. */
  let brokenAt: number | null = null;
  let notifying: ReturnType<typeof setTimeout> | undefined;
  let judging: ReturnType<typeof setTimeout> | undefined;
  let probing = false;
  let unwatch = () => {};

  const update = () => {
    clearTimeout(notifying);
    notifying = undefined;
    const next = judge(evidence, state);
    if (next === state) return;
    state = next;
    for (const listener of stateListeners) listener();
  };

  const setLine = (next: LineState) => {
    evidence.line = next;
    tabs?.post({ line: next, cursor: evidence.cursor });
    judgeBreak();
  };

  /**
   * Updates the state now, and again after BREAK_MS. From then on, each failed reconnect asks the server once whether it
   * answers, because a page may have no query that would show it.
   */
  const judgeBreak = () => {
    clearTimeout(judging);
    const { phase, downSince } = evidence.line;
    if (downSince !== null && phase !== 'signed_out' && phase !== 'too_many') {
      if (isBroken(evidence.line)) void probe();
      else judging = setTimeout(judgeBreak, BREAK_MS + 1);
    }
    update();
  };

  const probe = async () => {
    if (probing) return;
    probing = true;
    // `settled` gets the result. The error of a timeout is not an abort, which would say nothing about the server.
    await client.me(AbortSignal.timeout(ANSWER_MS_MAX)).catch(() => {});
    probing = false;
  };

  const emit = (event: ConnectionEvent) => {
    for (const listener of eventListeners) listener(event);
  };

  const deliver = (kind: FrameKind, text: string) => {
    const frame = JSON.parse(text);
    const { cursor } = evidence;
    evidence.heardAt = Date.now();
    if (kind === 'ping') {
      evidence.freshAt = (frame as Ping).freshAt ?? null;
      notifying ??= setTimeout(update, NOTIFY_MS);
    }
    const isFirst = kind === 'message' && frame.type === 'connected';
    // When the lead passes to another tab, two lines can deliver the same event.
    if (!isFirst && cursor !== null && !isAfter(frame.cursor, cursor)) return;
    evidence.cursor = frame.cursor;
    if (kind === 'message') emit(frame);
    notifying ??= setTimeout(update, NOTIFY_MS);
  };

  const lead = () => {
    line?.close();
    line = openLine({
      client,
      rooms: options.rooms,
      EventSource: options.EventSource ?? EventSource,
      cursor: () => evidence.cursor,
      brokenAt,
      onFrame(kind, text) {
        tabs?.post({ frame: [kind, text], prev: evidence.cursor });
        deliver(kind, text);
      },
      onState: setLine,
    });
  };

  const closeLine = () => {
    if (!line) return;
    line.close();
    line = null;
    brokenAt = Date.now();
    evidence.line = { ...opening, downSince: brokenAt };
    update();
  };

  /** Moves to the cursor of the leader if it is ahead: the events in between never reached this tab. */
  const adopt = (at: Cursor | null) => {
    const { cursor } = evidence;
    if (at === null || at === cursor || (cursor !== null && !isAfter(at, cursor))) return;
    const first: Connected = { type: 'connected', cursor: at, resumed: false };
    if (cursor !== null) first.reset = 'missed';
    evidence.cursor = at;
    emit(first);
  };

  const onTab = (message: TabMessage) => {
    if ('retry' in message) line?.retry();
    else if (line) return;
    else if ('frame' in message) {
      adopt(message.prev);
      deliver(...message.frame);
      if (evidence.line.head) update();
    } else {
      adopt(message.cursor);
      evidence.line = message.line;
      if (message.line.phase === 'open') evidence.heardAt = Date.now();
      judgeBreak();
    }
  };

  const onVisible = () => {
    const visible = isVisible();
    if (visible && line) line.check();
    if (tabs) return;
    // Without Web Locks every tab has a stream of its own, and a browser has six connections to a host.
    if (!visible) closeLine();
    else if (!line) lead();
  };

  const join = async () => {
    const current = ++run;
    evidence.line = { ...opening, downSince: Date.now() };
    const name = `roomwatch:${await scopeOf(options)}`;
    if (current !== run) return;
    tabs = joinTabs<TabMessage>(name, {
      onLead: lead,
      onFollow: closeLine,
      onMessage: onTab,
      onTick: () => tabs?.post({ line: evidence.line, cursor: evidence.cursor }),
    });
    if (!tabs && isVisible()) lead();
    judging = setTimeout(judgeBreak, BREAK_MS + 1);
  };

  const leave = () => {
    run++;
    clearTimeout(judging);
    clearTimeout(notifying);
    notifying = undefined;
    closeLine();
    tabs?.close();
    tabs = null;
  };

  return {
    getState: () => state,
    onState(listener) {
      stateListeners.add(listener);
      return () => stateListeners.delete(listener);
    },
    onEvent(listener) {
      eventListeners.add(listener);
      return () => eventListeners.delete(listener);
    },
    start() {
      unwatch();
      unwatch = watchPage({ onVisible, onOnline: () => line?.check(), onHide: leave, onRestore: () => void join() });
      void join();
    },
    stop() {
      unwatch();
      leave();
    },
    retry() {
      if (line) line.retry();
      else tabs?.post({ retry: true });
    },
    settled(error) {
      evidence.reachable =
        error === null || (error.status > 0 && error.status < 500 && error.code !== 'unexpected_answer');
      if (evidence.line.phase === 'open') return;
      if (evidence.reachable) evidence.heardAt = Date.now();
      update();
    },
  };
}

/**
 * Returns the name under which tabs share a stream: the same for tabs that would see the same. Of a token that is its
 * claims without the dates, so that a refreshed token keeps its stream.
 */
async function scopeOf({ client, rooms }: ConnectionOptions): Promise<string> {
  let claims: unknown = null;
  try {
    const token = await client.token();
    if (token) {
      const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
      claims = { ...JSON.parse(atob(payload)), exp: 0, nbf: 0, iat: 0, jti: 0 };
    }
  } catch {
    claims = Math.random(); // The owner of the token is unknown: the stream is shared with no other tab.
  }
  return JSON.stringify([client.base, client.project, rooms, claims]);
}
