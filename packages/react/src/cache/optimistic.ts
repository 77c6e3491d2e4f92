import type { Query } from '@tanstack/react-query';
import type { FollowedQuery, Follows } from './follows';

/** Maximum time from the success of a command to its event. After it the confirmed data is fetched. */
const SETTLE_MS_MAX = 5_000;

/** Draws the expected result of a command over the data of a query. Returns the same data if it is there already. */
export type Edit = (follows: Follows, data: unknown) => unknown;

/** A command that LiveKit has not carried out yet. */
interface Optimistic {
  edit: Edit;
  /** Hashes of the queries whose confirmed data has the result already: from then on the edit is not drawn there. */
  settled: Set<string>;
  timer?: ReturnType<typeof setTimeout>;
}

/** Ends one optimistic update. */
export interface OptimisticUpdate {
  /** The command failed: removes the edit. */
  rollback(): void;
  /** The command succeeded: its event settles the edit. If no event arrives in time, the data is fetched. */
  accepted(): void;
}

export interface OptimisticOptions {
  queries: () => FollowedQuery[];
  /** Returns true while no events arrive. */
  isDown: () => boolean;
  /** Draws all queries again. */
  redraw: () => void;
  invalidate: (query: Query) => void;
}

/** Edits that are drawn over the confirmed data of queries until events or a rollback end them. */
export class OptimisticUpdates {
  private readonly updates = new Set<Optimistic>();
  /** Data of the server, by query hash, where an edit is drawn over it. */
  private readonly confirmed = new Map<string, unknown>();

  constructor(private readonly options: OptimisticOptions) {}

  /** Returns `data` with all edits drawn over it. Keeps `data` for as long as they differ. */
  draw(hash: string, follows: Follows, data: unknown): unknown {
    let drawn = data;
    for (const update of this.updates) {
      if (update.settled.has(hash)) continue;
      const next = update.edit(follows, drawn);
      if (next === drawn) update.settled.add(hash);
      drawn = next;
    }
    if (drawn === data) this.confirmed.delete(hash);
    else this.confirmed.set(hash, data);
    return drawn;
  }

  /** Returns the data of the server, without edits. */
  confirmedOf(query: Query): unknown {
    return this.confirmed.get(query.queryHash) ?? query.state.data;
  }

  /** Returns true if an edit is drawn over the query. */
  covers(query: Query): boolean {
    return this.confirmed.has(query.queryHash);
  }

  /** Draws an edit over every query that it concerns. */
  add(edit: Edit): OptimisticUpdate {
    const update: Optimistic = { edit, settled: new Set() };
    this.updates.add(update);
    this.options.redraw();
    return {
      rollback: () => this.remove(update),
      accepted: () => {
        // Without a stream no event will come.
        update.timer = setTimeout(() => this.expire(update), this.options.isDown() ? 0 : SETTLE_MS_MAX);
      },
    };
  }

  private remove(update: Optimistic): void {
    clearTimeout(update.timer);
    this.updates.delete(update);
    this.options.redraw();
  }

  private expire(update: Optimistic): void {
    const open = this.options
      .queries()
      .filter(({ query }) => this.covers(query) && !update.settled.has(query.queryHash));
    this.remove(update);
    for (const { query } of open) this.options.invalidate(query);
  }
}
