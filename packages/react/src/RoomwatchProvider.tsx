import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createContext, type ReactNode, useContext, useEffect, useMemo, useRef, useState } from 'react';
import { Cache } from './cache/cache';
import { createClient, type RoomwatchClient, type TokenSource } from './core/client';
import { type Connection, createConnection } from './core/connection';

export interface Roomwatch {
  client: RoomwatchClient;
  connection: Connection;
  cache: Cache;
  /** Milliseconds between polls while the stream is down. */
  pollInterval: number;
  /** Prefix of every query key. */
  keyPrefix: readonly unknown[];
  /** Rooms of the stream; absent means all. */
  rooms?: string[];
  /** True if a token is used, and not the cookie. */
  hasToken: boolean;
  /** Tells the queries of this provider from those of another one in the same cache. */
  scope: string;
}

const Context = createContext<Roomwatch | null>(null);

export interface RoomwatchProviderProps {
  /** Address of Roomwatch. Default: this origin. */
  url?: string;
  /**
   * A LiveKit access token, or a function that returns one; called for every stream and every request. Without it the
   * operator's cookie is used. A changed string opens a new stream. For another user give the provider another `key`.
   */
  token?: TokenSource;
  /** Limits everything to one project. */
  project?: string;
  /** Limits the stream to these rooms. */
  rooms?: string[];
  /** Milliseconds between polls while the stream is down. Default 60,000. */
  pollInterval?: number;
  /** Prefix of every query key, so that they do not collide with the keys of an existing app. */
  keyPrefix?: readonly unknown[];
  /** Query client of an existing app. Default: a new one. */
  queryClient?: QueryClient;
  /** For tests, and for platforms that have none. */
  EventSource?: typeof EventSource;
  children?: ReactNode;
}

/**
 * Opens the stream and provides client, connection and cache for the hooks below it.
 *
 * @example
 * <RoomwatchProvider url="https://watch.example.com" token={fetchToken}>
 *   <Rooms />
 * </RoomwatchProvider>
 */
export function RoomwatchProvider(props: RoomwatchProviderProps) {
  const { url, project, pollInterval = 60_000, children } = props;
  const [ownClient] = useState(() => props.queryClient ?? new QueryClient());
  const queryClient = props.queryClient ?? ownClient;
  const latest = useRef(props);
  latest.current = props;
  // Arrays and functions are new at every render.
  const rooms = useUnchanged(props.rooms);
  const keyPrefix = useUnchanged(props.keyPrefix ?? none);
  const token = typeof props.token === 'function' ? 'function' : props.token;
  const value = useMemo<Roomwatch>(() => {
    let connection: Connection | undefined;
    const client = createClient({
      url,
      project,
      token: token === undefined ? undefined : () => resolve(latest.current.token),
      cursor: () => connection?.getState().cursor ?? null,
      onSettled: (error) => connection?.settled(error),
    });
    connection = createConnection({ client, rooms, EventSource: latest.current.EventSource });
    const scope = JSON.stringify([client.base, project, rooms, keyPrefix]);
    const cache = new Cache(connection, queryClient, scope);
    return { client, connection, cache, pollInterval, keyPrefix, rooms, hasToken: token !== undefined, scope };
  }, [url, project, rooms, keyPrefix, token, pollInterval, queryClient]);

  useEffect(() => {
    // The cache listens before the first frame can arrive.
    const stop = value.cache.start();
    value.connection.start();
    return () => {
      value.connection.stop();
      stop();
    };
  }, [value]);

  return (
    <QueryClientProvider client={queryClient}>
      <Context.Provider value={value}>{children}</Context.Provider>
    </QueryClientProvider>
  );
}

const none: readonly unknown[] = [];

/** Returns the same value until its JSON changes. */
function useUnchanged<T>(value: T): T {
  const last = useRef(value);
  if (JSON.stringify(last.current) !== JSON.stringify(value)) last.current = value;
  return last.current;
}

async function resolve(token: TokenSource | undefined): Promise<string> {
  return (typeof token === 'function' ? await token() : token) ?? '';
}

/** Returns the provider above, or null. */
export function useOptionalRoomwatch(): Roomwatch | null {
  return useContext(Context);
}

/** Returns client and connection of the provider above, for uses that no hook covers. */
export function useRoomwatch(): Roomwatch {
  const value = useContext(Context);
  if (!value) throw new Error('This hook needs a <RoomwatchProvider> above it.');
  return value;
}
