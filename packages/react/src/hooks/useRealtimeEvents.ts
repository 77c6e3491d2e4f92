import { type Query, type QueryKey, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { type EventsFilter, matches } from '../core/filter';
import { isConnected } from '../core/line';
import type { ConnectionStatus } from '../core/status';
import type { Cursor, Message, ResetReason } from '../core/wire';
import { useRoomwatch } from '../RoomwatchProvider';
import { useConnection } from './useConnection';

/** Minimum time between two invalidations of one key in mode `invalidate`: each costs a request. */
const INVALIDATE_MS = 1_000;

export interface RealtimeEventsOptions extends EventsFilter {
  /** Called for each event, once, in log order. */
  onEvent?: (message: Message) => void;
  /** Called if the stream did not resume: events are missing. Fetch again what you fetched before. */
  onReset?: (reason: ResetReason) => void;
  /**
   * `write` (default): only the queries of this package are updated. `invalidate`: queries of the app, with keys like
   * `['rooms']` and `['participants', name]`, are invalidated by event type.
   */
  mode?: 'write' | 'invalidate';
  /** Prefix of the keys, for `invalidate`. */
  keyPrefix?: readonly unknown[];
  /** Returns the keys that an event invalidates, instead of {@link keysOf}. For `invalidate`. */
  keys?: (message: Message) => QueryKey[];
}

export interface RealtimeEvents {
  isConnected: boolean;
  status: ConnectionStatus;
  cursor: Cursor | null;
  staleSince: number | null;
}

/**
 * Listens to the provider's stream.
 *
 * @example
 * useRealtimeEvents({ type: 'participant_*', onEvent: ({ type, room }) => console.log(type, room) });
 *
 * @example
 * // An app with its own queries: they are fetched again after an event, and not every minute.
 * const { isConnected } = useRealtimeEvents({ mode: 'invalidate' });
 */
export function useRealtimeEvents(options: RealtimeEventsOptions = {}): RealtimeEvents {
  const { connection } = useRoomwatch();
  const queryClient = useQueryClient();
  const { status, cursor, staleSince } = useConnection();
  const latest = useRef(options);
  latest.current = options;

  const { mode } = options;
  useEffect(() => {
    const queries = queryClient.getQueryCache();
    const waiting = new Map<string, { again: boolean; timer: ReturnType<typeof setTimeout> }>();
    /** Queries whose present fetch may have been answered before an event. They are fetched again after it. */
    const outdated = new WeakSet<Query>();

    const invalidate = (queryKey: QueryKey, exact: boolean) => {
      const hash = JSON.stringify([queryKey, exact]);
      const entry = waiting.get(hash);
      if (entry) {
        entry.again = true;
        return;
      }
      const timer = setTimeout(() => {
        const again = waiting.get(hash)?.again;
        waiting.delete(hash);
        if (again) invalidate(queryKey, exact);
      }, INVALIDATE_MS);
      waiting.set(hash, { again: false, timer });
      // The success of a fetch would remove the mark of an invalidation. And cancelling it instead would starve a query
      // that takes longer than the time between two events.
      for (const query of queries.findAll({ queryKey, exact }))
        if (query.state.fetchStatus !== 'idle') outdated.add(query);
      void queryClient.invalidateQueries({ queryKey, exact }, { cancelRefetch: false });
    };
    /** Invalidates what was fetched while events did not arrive here. */
    const invalidateAll = () => {
      const { keyPrefix = [], keys } = latest.current;
      // The keys of the app's own function are not known.
      for (const key of keys ? [[]] : [['rooms'], ['participants']]) invalidate([...keyPrefix, ...key], false);
    };

    const stopQueries = queries.subscribe(({ query }) => {
      if (query.state.fetchStatus === 'idle' && outdated.delete(query)) invalidate(query.queryKey, true);
    });
    const stop = connection.onEvent((event) => {
      const { keyPrefix = [], keys = keysOf, onEvent, onReset, ...filter } = latest.current;
      if (isConnected(event)) {
        if (mode === 'invalidate' && !event.resumed) invalidateAll();
        if (event.reset) onReset?.(event.reset);
        return;
      }
      if (!matches(filter, event)) return;
      onEvent?.(event);
      if (mode === 'invalidate') for (const key of keys(event)) invalidate([...keyPrefix, ...key], true);
    });
    if (mode === 'invalidate' && isLive(connection.getState().status)) invalidateAll();
    return () => {
      stop();
      stopQueries();
      for (const { timer } of waiting.values()) clearTimeout(timer);
    };
  }, [connection, queryClient, mode]);

  return { isConnected: isLive(status), status, cursor, staleSince };
}

const isLive = (status: ConnectionStatus) => status === 'live' || status === 'catching_up';

/** Returns the keys of an app that an event invalidates. */
export function keysOf({ type, room }: Message): QueryKey[] {
  const list: QueryKey[] = [['rooms']];
  if (room === null) return list;
  list.push(['rooms', room]);
  if (!type.startsWith('egress_')) list.push(['participants', room]);
  return list;
}
