import { hashKey, notifyManager, type Query, type QueryClient, type QueryKey } from '@tanstack/react-query';
import type { RoomsData } from '../core/apply';
import type { Connection } from '../core/connection';
import { isConnected } from '../core/line';
import { type Snapshot, Tail, UNKNOWN } from '../core/tail';
import type { Connected, Message, SessionDetail } from '../core/wire';
import { applyBatch } from './apply';
import { Batch } from './batch';
import { type FollowedQuery, type Follows, followsOf, isDown } from './follows';
import { type Edit, type OptimisticUpdate, OptimisticUpdates } from './optimistic';

/**
 * Minimum time between two flushes. The first event of a burst is written at once: a long list costs by flush, not by
 * event.
 */
const FLUSH_MS = 100;
/** Minimum time between two fetches of data that no event carries (sessions past and present). */
const SOON_MS = 5_000;
/** The same for lists whose events are rare, and which are opened to see the next one. */
const RARE_SOON_MS = 1_000;
const RARE = ['egress', 'calls', 'agents', 'projects'] as const;
const isRare = (kind: Follows['kind']): kind is (typeof RARE)[number] => (RARE as readonly string[]).includes(kind);
/** Lists and details from the history, which is written a moment after the stream has told. */
const HISTORY = ['session', 'sessions', ...RARE] as const;
/** Range over which pages that lost the stream together start to poll. */
const POLL_SPREAD_MS = 2_000;

/** Writes the stream into the query cache, which is the only state of the client. */
export class Cache {
  private readonly tail = new Tail();
  private queue: Message[] = [];
  private flushTimer: ReturnType<typeof setTimeout> | undefined;
  private flushedAt = 0;
  private readonly soon = new Map<string, ReturnType<typeof setTimeout>>();
  /** When the stream last told of a change of what the history has. */
  private readonly changedAt = new Map<Follows['kind'], number>();
  private readonly optimistic = new OptimisticUpdates({
    queries: () => this.queries(),
    isDown: () => isDown(this.connection.getState().status),
    redraw: () => this.redraw(),
    invalidate: (query) => this.invalidate(query),
  });

  constructor(
    private readonly connection: Connection,
    private readonly queryClient: QueryClient,
    /** Tells the queries of this cache from those of another provider. */
    private readonly scope: string,
  ) {}

  /** Follows the connection until the returned function is called. */
  start(): () => void {
    const stopEvents = this.connection.onEvent((event) => {
      this.tail.hear(event);
      if (isConnected(event)) this.onConnected(event);
      else this.onMessage(event);
    });
    const stopPolling = this.pollWhileDown();
    const stopQueries = this.queryClient.getQueryCache().subscribe((event) => {
      const { query } = event;
      const isFirst = event.type === 'updated' && event.action.type === 'fetch' && query.state.data === undefined;
      const follows = isFirst || event.type === 'observerAdded' ? followsOf(query) : undefined;
      if (follows?.scope !== this.scope) return;
      if (Date.now() - (this.changedAt.get(follows.kind) ?? 0) < SOON_MS) this.askAgain(query);
    });
    return () => {
      stopEvents();
      stopPolling();
      stopQueries();
      clearTimeout(this.flushTimer);
      this.flushTimer = undefined;
      for (const timer of this.soon.values()) clearTimeout(timer);
      this.soon.clear();
    };
  }

  /** Fetches a snapshot and applies the events that arrived meanwhile. */
  async load<T extends Snapshot>(follows: Follows, key: QueryKey, request: () => Promise<T>): Promise<T> {
    const { answer, merged } = await this.tail.fetch<T, unknown>(request, (snapshot, newer) =>
      applyBatch(follows, snapshot, new Batch(newer), this.lists),
    );
    const hash = hashKey(key);
    if (merged === UNKNOWN) {
      // Later events may not fit either: the answer is shown, and fetched again.
      const query = this.queryClient.getQueryCache().get(hash);
      if (query) this.invalidateSoon(query);
    }
    return this.optimistic.draw(hash, follows, merged === UNKNOWN ? answer : merged) as T;
  }

  /** Draws the expected result of a command over every query that it concerns. */
  edit(edit: Edit): OptimisticUpdate {
    return this.optimistic.add(edit);
  }

  private queries(): FollowedQuery[] {
    return this.queryClient
      .getQueryCache()
      .getAll()
      .flatMap((query) => {
        const follows = followsOf(query);
        return follows?.scope === this.scope ? [{ query, follows }] : [];
      });
  }

  private readonly lists = (): RoomsData[] =>
    this.queries().flatMap(({ query, follows }) => {
      const data = follows.kind === 'rooms' ? this.optimistic.confirmedOf(query) : undefined;
      return (data as RoomsData | undefined) ?? [];
    });

  private invalidate(query: Query): void {
    void this.queryClient.invalidateQueries({ queryKey: query.queryKey, exact: true });
  }

  private invalidateSoon(query: Query, delay = SOON_MS): void {
    const key = `${delay} ${query.queryHash}`;
    if (this.soon.has(key)) return;
    const timer = setTimeout(() => {
      this.soon.delete(key);
      this.invalidate(query);
    }, delay);
    this.soon.set(key, timer);
  }

  /** Fetches a query again whose first answer may be older than the last change. */
  private askAgain(query: Query): void {
    this.invalidateSoon(query, RARE_SOON_MS);
    this.invalidateSoon(query);
  }

  private put(query: Query, follows: Follows, confirmed: unknown): void {
    const data = this.optimistic.draw(query.queryHash, follows, confirmed);
    if (data !== query.state.data) this.queryClient.setQueryData(query.queryKey, data);
  }

  private redraw(): void {
    notifyManager.batch(() => {
      for (const { query, follows } of this.queries()) {
        if (query.state.data !== undefined) this.put(query, follows, this.optimistic.confirmedOf(query));
      }
    });
  }

  private onMessage(message: Message): void {
    this.queue.push(message);
    this.flushTimer ??= setTimeout(() => this.flush(), Math.max(0, this.flushedAt + FLUSH_MS - Date.now()));
  }

  private onConnected({ resumed, reset }: Connected): void {
    this.flush();
    if (resumed) return;
    for (const { query, follows } of this.queries()) {
      const data = this.optimistic.confirmedOf(query) as Partial<Snapshot> | undefined;
      if (data === undefined) continue;
      const isComplete = 'cursor' in data ? data.cursor != null && !this.tail.hasHole(data.cursor) : !reset;
      if (!isComplete && follows.kind !== 'projects') this.invalidate(query);
    }
  }

  private flush(): void {
    clearTimeout(this.flushTimer);
    this.flushTimer = undefined;
    if (this.queue.length === 0) return;
    this.flushedAt = Date.now();
    const batch = new Batch(this.queue);
    this.queue = [];
    const changed = HISTORY.filter((kind) => (isRare(kind) ? batch.has(kind) : batch.hasRoomChange()));
    for (const kind of changed) this.changedAt.set(kind, this.flushedAt);
    notifyManager.batch(() => {
      for (const { query, follows } of this.queries()) {
        // An answer is pending, or is fetched when the query is shown: a write now would mark it as settled.
        if (query.state.data === undefined || query.state.isInvalidated) {
          if (!query.isActive()) continue;
          this.followHistory(query, follows, batch);
          if ((changed as string[]).includes(follows.kind)) this.askAgain(query);
          continue;
        }
        this.apply(query, follows, batch);
      }
    });
  }

  private apply(query: Query, follows: Follows, batch: Batch): void {
    for (const step of this.steps(query, follows, batch)) {
      const confirmed = this.optimistic.confirmedOf(query);
      const next = applyBatch(follows, confirmed, step, this.lists);
      if (next === UNKNOWN) {
        this.invalidate(query);
        break;
      }
      if (next !== confirmed) this.put(query, follows, next);
    }
    this.followHistory(query, follows, batch);
  }

  /** Fetches a query again, once the history has these messages. */
  private followHistory(query: Query, { kind }: Follows, batch: Batch): void {
    const detail = kind === 'session' ? (query.state.data as SessionDetail | undefined) : undefined;
    if (detail) {
      if (batch.of(detail.session.room).length > 0) this.invalidateSoon(query);
    } else if (kind === 'session' || kind === 'sessions') {
      if (batch.hasRoomChange()) this.invalidateSoon(query);
    } else if (isRare(kind) && batch.has(kind)) this.invalidateSoon(query, RARE_SOON_MS);
  }

  /**
   * Below an edit, one message at a time: the first one with the result settles the edit, even if the next one undoes
   * it.
   */
  private steps(query: Query, follows: Follows, batch: Batch): Batch[] {
    if (!this.optimistic.covers(query) || !('name' in follows)) return [batch];
    return batch.of(follows.name).map((message) => new Batch([message]));
  }

  private pollWhileDown(): () => void {
    const { connection } = this;
    let before = connection.getState().status;
    let polling: ReturnType<typeof setTimeout> | undefined;
    const stop = connection.onState(() => {
      const { status } = connection.getState();
      if (status === before) return;
      if (isDown(status) && !isDown(before)) {
        polling = setTimeout(() => {
          for (const { query } of this.queries()) if (query.isActive()) void query.fetch().catch(() => {});
        }, Math.random() * POLL_SPREAD_MS);
      } else if (!isDown(status)) clearTimeout(polling);
      // Another user may have signed in, who sees other things.
      if (before === 'signed_out') for (const { query } of this.queries()) this.invalidate(query);
      before = status;
    });
    return () => {
      stop();
      clearTimeout(polling);
    };
  }
}
