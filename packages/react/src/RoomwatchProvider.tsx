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
  /** Stands before every query key. */
  keyPrefix: readonly unknown[];
  /** The rooms that the stream tells of; all when absent. */
  rooms?: string[];
  /** Whether a token speaks, and not the cookie. */
  hasToken: boolean;
  /** Tells the queries of this provider from another's in the same cache. */
  scope: string;
}

const Context = createContext<Roomwatch | null>(null);

export interface RoomwatchProviderProps {
  /** Where Roomwatch is. Default: this origin. */
  url?: string;
  /**
   * A LiveKit access token, or how to get one; asked at every opening of the stream and every request. Without it the
   * operator's cookie speaks. Changing a string opens a new stream; for another user give the provider another `key`.
   */
  token?: TokenSource;
  /** Narrows everything to one project. */
  project?: string;
  /** Narrows the stream to these rooms. */
  rooms?: string[];
  /** Milliseconds between polls while the stream is down. Default 60,000. */
  pollInterval?: number;
  /** Stands before every query key, so that the keys of an existing app stay its own. */
  keyPrefix?: readonly unknown[];
  /** Of an existing app. Default: one of our own. */
  queryClient?: QueryClient;
  /** For tests, and for platforms without one. */
  EventSource?: typeof EventSource;
  children?: ReactNode;
}

/**
 * Opens the stream of its scope and gives the hooks below their client, their connection and their cache.
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
      onSettled: (error) => connection?.settled(error),
    });
    connection = createConnection({ client, rooms, EventSource: latest.current.EventSource });
    const scope = JSON.stringify([client.base, project, rooms, keyPrefix]);
    const cache = new Cache(connection, queryClient, scope);
    return { client, connection, cache, pollInterval, keyPrefix, rooms, hasToken: token !== undefined, scope };
  }, [url, project, rooms, keyPrefix, token, pollInterval, queryClient]);

  useEffect(() => {
    // The cache listens before the first frame can come.
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

/** For hooks that can do without. */
export function useOptionalRoomwatch(): Roomwatch | null {
  return useContext(Context);
}

/** The client and the connection of the provider above, for what the hooks do not cover. */
export function useRoomwatch(): Roomwatch {
  const value = useContext(Context);
  if (!value) throw new Error('This hook needs a <RoomwatchProvider> above it.');
  return value;
}
